"""What to try next: an Optuna study, the only durable state of a search."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from automl_img.errors import SettingsError
from automl_img.space.dimensions import Choice, Dimension, Float, SearchSpace
from automl_img.trials import EpochResult, Params, TrialRecord, TrialState

_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
# How often a point that was tried already is asked for in a row before the space counts as spent.
_MOST_TWINS = 30
_GRID_POINTS = 3
_LARGEST_GRID = 10_000


@dataclass(frozen=True)
class Suggestion:
    """A new trial: its number in the study, its parameters, its own seed."""

    number: int
    params: Params
    seed: int


class Sampler:
    """Asks an Optuna study what to try, and tells it how that went.

    The study lies in a SQLite file that this process alone writes; optuna-dashboard may read it
    meanwhile. The same seed gives the same suggestions as long as trials end in the same order,
    which one worker guarantees.
    """

    def __init__(self, path: Path, space: SearchSpace, kind: str, seed: int) -> None:
        """
        Args:
            path: of ``study.db``; created, or opened to go on.
            kind: "tpe", "random" or "grid".
        """
        self.space = space
        self.seed = seed
        self._storage = _open_storage(path)
        self._study = _study_in(self._storage)
        # A sampler that starts anew with the same seed would repeat its suggestions.
        start = int(np.random.SeedSequence([seed, len(self._study.trials)]).generate_state(1)[0])
        self._study.sampler = _optuna_sampler(kind, start)
        self._running: dict[int, optuna.Trial] = {}
        # Points tried so far; None while the first trial of a point is still running.
        self._tried: dict[str, FrozenTrial | None] = {
            _key(space.nearest(trial.params)): trial
            for trial in self._study.trials
            if trial.state.is_finished() and "twin_of" not in trial.user_attrs
        }

    def enqueue(self, points: Sequence[Params]) -> None:
        """Try ``points`` first, in this order, moved into the space where they lie outside.

        A study that has trials already, or has them waiting, is left as it is.
        """
        if self._study.get_trials(deepcopy=False):
            return
        for point in points:
            inside = self.space.nearest(point)
            searched = {name: inside[name] for name in inside if name in self.space.searched}
            self._study.enqueue_trial(searched)

    def ask(self) -> Suggestion | None:
        """A point that was not tried before; None when the space has none left.

        Optuna does not mind asking for the same point twice. Such a twin is told the result of the
        first and costs nothing; after a few in a row, a small space is searched for what is left.
        """
        for _ in range(_MOST_TWINS):
            trial = self._study.ask()
            params = suggest(self.space, trial)
            if _key(params) not in self._tried:
                return self._suggestion(trial, params)
            self._tell_twin(trial, self._tried[_key(params)])
        left = self._first_untried()
        if left is None:
            return None
        self._study.enqueue_trial(
            {name: left[name] for name in left if name in self.space.searched}
        )
        trial = self._study.ask()
        return self._suggestion(trial, suggest(self.space, trial))

    def _suggestion(self, trial: optuna.Trial, params: Params) -> Suggestion:
        self._tried[_key(params)] = None
        self._running[trial.number] = trial
        own = np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0]
        return Suggestion(trial.number, params, int(own) % 2**31)

    def _first_untried(self) -> Params | None:
        """A point of a space without ranges of real numbers that was not tried; None if none."""
        if any(isinstance(dimension, Float) for dimension in self.space.dimensions):
            return None
        every = itertools.islice(_grid(self.space, {}, 0, points=_LARGEST_GRID), _LARGEST_GRID)
        return next((point for point in every if _key(point) not in self._tried), None)

    def report(self, number: int, result: EpochResult) -> None:
        """Keep the validation accuracy of one epoch in the study."""
        if result.val_accuracy is not None:
            self._running[number].report(result.val_accuracy, result.epoch)

    def tell(self, record: TrialRecord) -> None:
        """Keep how a trial ended: complete with its best value, pruned, or failed."""
        trial = self._running.pop(record.number)
        trial.set_user_attr("stop_reason", record.stop_reason)
        best = record.best
        complete = record.state is TrialState.COMPLETE and best is not None
        value = best.val_accuracy if complete and best else None
        self._study.tell(trial, value, state=_STATES[record.state])
        self._tried[_key(record.params)] = self._study.get_trials(deepcopy=False)[record.number]

    def close(self) -> None:
        """Let go of the file: with the last connection SQLite folds its log into ``study.db``."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def history(self) -> Iterator[tuple[int, dict[int, float]]]:
        """(number, validation accuracy by epoch) of every trial that the study knows."""
        for trial in self._study.get_trials(deepcopy=False):
            yield trial.number, dict(trial.intermediate_values)

    def _tell_twin(self, trial: optuna.Trial, twin: FrozenTrial | None) -> None:
        # The first of the two may still be running (None): nothing is known to tell then.
        trial.set_user_attr("twin_of", -1 if twin is None else twin.number)
        if twin is not None and twin.state is OptunaState.COMPLETE:
            self._study.tell(trial, twin.value)
        else:
            self._study.tell(trial, state=OptunaState.FAIL)


def open_study(path: Path) -> optuna.Study:
    """The study in the SQLite file ``path``, created where there is none."""
    return _study_in(_open_storage(path))


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


def _open_storage(path: Path) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options = {"timeout": 60, "factory": _Connection}
    return optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": options})


def _study_in(storage: optuna.storages.RDBStorage) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name="search", direction="maximize", load_if_exists=True
    )


def suggest(space: SearchSpace, trial: Any) -> Params:
    """The parameters of ``trial``, asked for one by one as their parents decide."""
    params: Params = {}
    for dimension in space.dimensions:
        if not space.active(dimension, params):
            continue
        if dimension.single:
            params[dimension.name] = dimension.grid(1)[0]
        else:
            params[dimension.name] = _suggest_one(dimension, trial)
    space.validate(params)
    return params


def grid(space: SearchSpace, budget: int, seed: int) -> list[Params]:
    """At most ``budget`` points of the grid over ``space``: all options, three values of a range.

    A budget below the size of the grid takes a seeded part of it, spread over all of it.

    Raises:
        SettingsError: the grid has more than 10,000 points.
    """
    points = list(itertools.islice(_grid(space, {}, 0), _LARGEST_GRID + 1))
    if len(points) > _LARGEST_GRID:
        raise SettingsError(
            f"a grid may have at most {_LARGEST_GRID:,} points, but this space has more; "
            "fix more of it with --fix, or use --sampler random"
        )
    if len(points) <= budget:
        return points
    chosen = np.random.default_rng(seed).choice(len(points), budget, replace=False)
    return [points[place] for place in chosen.tolist()]


def _grid(
    space: SearchSpace, params: Params, place: int, points: int = _GRID_POINTS
) -> Iterator[Params]:
    """The points of the grid from dimension ``place`` on, below the values chosen so far.

    Args:
        points: the most values of a range.
    """
    if place == len(space.dimensions):
        yield params
        return
    dimension = space.dimensions[place]
    if not space.active(dimension, params):
        yield from _grid(space, params, place + 1, points)
        return
    for value in dimension.grid(points):
        yield from _grid(space, {**params, dimension.name: value}, place + 1, points)


def _suggest_one(dimension: Dimension, trial: Any) -> Any:
    name = dimension.name
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(name, list(dimension.options))
    if isinstance(dimension, Float):
        return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    # Optuna wants the upper bound on a step.
    high = dimension.nearest(dimension.high)
    return trial.suggest_int(name, dimension.low, high, step=dimension.step, log=dimension.log)


def _optuna_sampler(kind: str, seed: int) -> optuna.samplers.BaseSampler:
    if kind == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    # The points of a grid are enqueued; what is asked for beyond them ends the search.
    return optuna.samplers.RandomSampler(seed=seed)


def _key(params: Params) -> str:
    return json.dumps(params, sort_keys=True)
