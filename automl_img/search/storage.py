"""The SQLite file of a search's Optuna studies."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import optuna

from automl_img.errors import RunError
from automl_img.files import disk_is_full

Direction = Literal["maximize", "minimize"]


def open_studies(path: Path) -> list[optuna.Study]:
    """The studies in the SQLite file ``path``."""
    storage = open_storage(path)
    names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


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


def open_storage(path: Path) -> optuna.storages.RDBStorage:
    """
    Raises:
        RunError: the file is no database.
    """
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


def study_in(
    storage: optuna.storages.RDBStorage, name: str, directions: Sequence[Direction]
) -> optuna.Study:
    """The study ``name``; created, with a direction for each objective, where there is none."""
    return optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
