"""Where the Optuna studies of a search are kept: in a SQLite file, if nothing else is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from automl_img.errors import RunError
from automl_img.files import disk_is_full
from automl_img.trials import Params

Direction = Literal["maximize", "minimize"]
# Attributes of a trial in Optuna, where several drivers share a study: whose it is, and the name of
# their run.
DRIVER, RUN = "driver", "run"


class Studies:
    """The studies of a search, in a SQLite file that this process alone writes.

    Attributes:
        driver: whose trials are asked for here, where several drivers share the studies; else None.
        run: the name of its run, for people.
        salt: what its suggestions follow from, beside the seed.
    """

    driver: str | None = None
    run: str | None = None
    salt: bytes = b""

    def __init__(self, storage: optuna.storages.RDBStorage, asked: Any = None) -> None:
        """
        Args:
            asked: in place of ``storage`` for all that Optuna asks of it.
        """
        self._storage = storage
        self._cached = _Cached(asked or storage)

    def open(self, name: str, directions: Sequence[Direction]) -> optuna.Study:
        """The study ``name``; created, with a direction for each objective, where there is none."""
        return optuna.create_study(
            storage=self._cached, study_name=name, directions=directions, load_if_exists=True
        )

    def ask(self, study: optuna.Study, point: Params | None = None) -> optuna.Trial:
        """A new trial of this driver, at ``point`` where there is one."""
        # Not enqueued: another driver might be given what is in the queue.
        self._cached.template = create_trial(
            state=OptunaState.RUNNING,
            user_attrs={} if self.driver is None else {DRIVER: self.driver, RUN: self.run},
            system_attrs={} if point is None else {"fixed_params": point},
        )
        trial = study.ask()
        while self._cached.template is not None:
            # Whoever has enqueued this one, it came in place of what was asked for.
            study.tell(trial, state=OptunaState.FAIL)
            trial = study.ask()
        return trial

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other driver asks for a trial as long as the block lasts."""
        yield

    def close(self) -> None:
        """Let go of the file: with the last connection SQLite folds its log into ``study.db``."""
        self._storage.remove_session()
        self._storage.engine.dispose()


class _Cached(optuna.storages._CachedStorage):
    """What Optuna puts before a storage itself; new trials can be made from a template.

    Attributes:
        template: of the next trial.
    """

    template: FrozenTrial | None = None

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template, self.template = template_trial or self.template, None
        return super().create_new_trial(study_id, template)


class _Connection(sqlite3.Connection):
    """Write-ahead logging lets a dashboard read while trials are written.

    With it ``synchronous=NORMAL`` waits for the disk when the log is folded into the file and not
    at each report. A process that is killed loses nothing by that; a power cut may take the last
    trials out of the study, and leaves it whole.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def open_studies(path: Path) -> list[optuna.Study]:
    """The studies in the SQLite file ``path``."""
    storage = _open_storage(path)
    names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def studies_in(path: Path) -> Studies:
    """The studies in the SQLite file ``path``, which is created where there is none.

    Raises:
        RunError: the file is no database.
    """
    return Studies(_open_storage(path))


def _open_storage(path: Path) -> optuna.storages.RDBStorage:
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        if disk_is_full(error):
            raise
        raise RunError(
            f"the study {path} cannot be read ({error}); put back a copy of it, or search anew "
            f"with --warm-start {path.parent.name}"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = {"timeout": 60, "factory": _Connection}
    return optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": options})
