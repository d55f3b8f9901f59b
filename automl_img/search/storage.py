"""Where the Optuna studies of a search are kept: in a SQLite file, if nothing else is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
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

    def __init__(self, storage: OneWriter | Cached, database: optuna.storages.RDBStorage) -> None:
        """
        Args:
            storage: what Optuna asks.
            database: what is behind it.
        """
        self._storage, self._database = storage, database

    def open(self, name: str, directions: Sequence[Direction]) -> optuna.Study:
        """The study ``name``; created, with a direction for each objective, where there is none."""
        return optuna.create_study(
            storage=self._storage, study_name=name, directions=directions, load_if_exists=True
        )

    def ask(self, study: optuna.Study, point: Params | None = None) -> optuna.Trial:
        """A new trial of this driver, at ``point`` where there is one."""
        # Not enqueued: another driver might be given what is in the queue.
        self._storage.template = create_trial(
            state=OptunaState.RUNNING,
            user_attrs={} if self.driver is None else {DRIVER: self.driver, RUN: self.run},
            system_attrs={} if point is None else {"fixed_params": point},
        )
        trial = study.ask()
        while self._storage.template is not None:
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
        self._database.remove_session()
        self._database.engine.dispose()


class Cached(optuna.storages._CachedStorage):
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
    storage = open_storage(path)
    names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def studies_in(path: Path) -> Studies:
    """The studies in the SQLite file ``path``, which is created where there is none.

    Raises:
        RunError: the file is no database.
    """
    database = open_storage(path)
    return Studies(OneWriter(database), database)


def open_storage(path: Path) -> optuna.storages.RDBStorage:
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


class OneWriter(optuna.storages.InMemoryStorage):
    """The studies of a file that this process alone writes, which it therefore reads but once.

    Optuna reads every trial that runs from its database again, for each hyperparameter that it
    suggests and each trial that it is told of: with 64 of them nine tenths of what a suggestion
    cost (docs/scale.md). Here it reads from memory, and whatever it writes goes to the file first.
    A new trial goes there whole, in one transaction, as soon as it has an attribute or has ended;
    one that was asked for and has neither by then is nobody's.

    Attributes:
        template: of the next trial.
    """

    template: FrozenTrial | None = None

    def __init__(self, file: optuna.storages.RDBStorage) -> None:
        super().__init__()
        self._file = file
        # Of studies and trials: their ids in the file, by those in memory.
        self._studies_in_file: dict[int, int] = {}
        self._trials_in_file: dict[int, int] = {}
        # Trials that are not in the file yet, in the order of their numbers, each with its study.
        self._new: dict[int, int] = {}
        for study in self._file.get_all_studies():
            own = super().create_new_study(study.directions, study.study_name)
            self._studies_in_file[own] = study._study_id
            for trial in self._file.get_all_trials(study._study_id, deepcopy=False):
                self._trials_in_file[super().create_new_trial(own, trial)] = trial._trial_id

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        own = super().create_new_study(directions, study_name)
        self._studies_in_file[own] = self._file.create_new_study(directions, study_name)
        return own

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template, self.template = template_trial or self.template, None
        own = super().create_new_trial(study_id, template)
        self._new[own] = study_id
        return own

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        if in_file := self._trials_in_file.get(trial_id):
            self._file.set_trial_param(in_file, param_name, param_value_internal, distribution)
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if in_file := self._trials_in_file.get(trial_id):
            self._file.set_trial_system_attr(in_file, key, value)
        super().set_trial_system_attr(trial_id, key, value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if in_file := self._trials_in_file.get(trial_id):
            self._file.set_trial_user_attr(in_file, key, value)
        super().set_trial_user_attr(trial_id, key, value)
        self._keep_new()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        self._keep_new()
        in_file = self._trials_in_file[trial_id]
        self._file.set_trial_intermediate_value(in_file, step, intermediate_value)
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_state_values(
        self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None
    ) -> bool:
        if state.is_finished():
            self._keep_new()
        if in_file := self._trials_in_file.get(trial_id):
            self._file.set_trial_state_values(in_file, state, values)
        return super().set_trial_state_values(trial_id, state, values)

    def _keep_new(self) -> None:
        """Write the trials that the file does not have; in order, as that gives their numbers."""
        for own, study_id in list(self._new.items()):
            in_file = self._studies_in_file[study_id]
            self._trials_in_file[own] = self._file.create_new_trial(in_file, self.get_trial(own))
            del self._new[own]
