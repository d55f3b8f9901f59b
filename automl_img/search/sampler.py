"""What to try next: Optuna studies, the durable state of a search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from automl_img.models import backbones
from automl_img.plugins import leaves
from automl_img.search.grid import every_point
from automl_img.search.race import Race
from automl_img.search.storage import open_storage, study_in
from automl_img.space.dimensions import Choice, Dimension, Float, SearchSpace
from automl_img.trials import EpochResult, Origin, Params, TrialRecord, TrialState

_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
# How often a point that was tried already is asked for in a row before the space counts as spent.
_MOST_TWINS = 30
# The study of a search that is not divided into families.
_ONLY = "search"
# Attributes of a trial in Optuna: its number in the search; the one that tried its point before.
_NUMBER = "number"
_TWIN = "twin_of"


@dataclass(frozen=True)
class Suggestion:
    """A new trial: its number, its parameters, its own seed, and where it comes from.

    Attributes:
        origin: see ``automl_img.trials.TrialRecord``.
        repeat_of: the number of the trial that it trains again from another seed.
    """

    number: int
    params: Params
    seed: int
    origin: Origin = "sampler"
    repeat_of: int | None = None


class Sampler:
    """Asks Optuna what to try, and tells it how that went.

    With "tpe" each family of networks has a study of its own, as what is good for one says little
    of another, and a race between the families decides which is asked (``automl_img.search.race``).
    All studies lie in one SQLite file that this process alone writes; optuna-dashboard may read it
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
        self._storage = open_storage(path)
        spaces = families_of(space) if kind == "tpe" else {}
        spaces = spaces if len(spaces) > 1 else {_ONLY: space}
        self._arms = {
            name: _Arm(self._storage, name, inner, kind, seed, len(spaces))
            for name, inner in spaces.items()
        }
        self._race = Race(tuple(spaces))
        self._running: dict[int, tuple[str, optuna.Trial]] = {}
        for name, arm in self._arms.items():
            for score in arm.scores():
                self._race.tried(name)
                self._race.ended(name, score)

    @property
    def next_number(self) -> int:
        """Above the numbers of all trials that the studies know."""
        return max((arm.last_number for arm in self._arms.values()), default=-1) + 1

    @property
    def dropped(self) -> list[str]:
        """A sentence for each family that is not asked any more, as another is better."""
        return list(self._race.dropped.values())

    def ask(self, number: int) -> Suggestion | None:
        """A point that was not tried before, as trial ``number``; None if the space has none left.

        Optuna does not mind asking for the same point twice. Such a twin is told the result of the
        first and costs nothing; after a few in a row, a small space is searched for what is left.
        """
        while (family := self._race.next()) is not None:
            trial = self._arms[family].ask(number)
            if trial is not None:
                return self._started(number, family, trial, "sampler")
            self._race.spent(family)
        return None

    def place(self, number: int, point: Params, origin: Origin) -> Suggestion | None:
        """``point`` as trial ``number``, moved into the space where it lies outside; None where it
        was tried before."""
        inside = self.space.nearest(point)
        family = next(name for name, arm in self._arms.items() if arm.holds(inside))
        trial = self._arms[family].ask_for(number, inside)
        return None if trial is None else self._started(number, family, trial, origin)

    def _started(self, number: int, family: str, trial: optuna.Trial, origin: Origin) -> Suggestion:
        self._running[number] = family, trial
        self._race.tried(family)
        params = suggest(self._arms[family].space, trial)
        return Suggestion(number, params, own_seed(self.seed, number), origin)

    def report(self, number: int, result: EpochResult) -> None:
        """Keep the validation accuracy of one epoch in its study; of others than its own trials
        nothing is kept."""
        if number in self._running and result.val_accuracy is not None:
            self._running[number][1].report(result.val_accuracy, result.epoch)

    def tell(self, record: TrialRecord) -> None:
        """Keep how a trial ended: complete with its best value, pruned, or failed."""
        if record.number not in self._running:
            return
        family, trial = self._running.pop(record.number)
        self._arms[family].tell(trial, record)
        usable = record.state is not TrialState.FAILED and record.best is not None
        self._race.ended(family, record.best.quality[0] if usable and record.best else 0.0)

    def close(self) -> None:
        """Let go of the file: with the last connection SQLite folds its log into ``study.db``."""
        self._storage.remove_session()
        self._storage.engine.dispose()


class _Arm:
    """One study, and the part of the space that it searches."""

    def __init__(
        self,
        storage: optuna.storages.RDBStorage,
        name: str,
        space: SearchSpace,
        kind: str,
        seed: int,
        arms: int,
    ) -> None:
        self.space = space
        self._study = study_in(storage, name)
        known = self._study.get_trials(deepcopy=False)
        # A sampler that starts anew with the same seed would repeat its suggestions.
        words = [seed, len(known), *name.encode("utf-8")]
        start = int(np.random.SeedSequence(words).generate_state(1)[0])
        self._study.sampler = _optuna_sampler(kind, start, arms)
        # Points tried so far; None while the first trial of a point is still running.
        self._tried: dict[str, FrozenTrial | None] = {
            _key(space.nearest(trial.params)): trial
            for trial in known
            if trial.state.is_finished() and _TWIN not in trial.user_attrs
        }

    @property
    def last_number(self) -> int:
        trials = self._study.get_trials(deepcopy=False)
        return max((int(trial.user_attrs.get(_NUMBER, -1)) for trial in trials), default=-1)

    def scores(self) -> Iterator[float]:
        """Best validation accuracy of each trial that ended."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished() and _TWIN not in trial.user_attrs:
                failed = trial.state is OptunaState.FAIL
                yield 0.0 if failed else max(trial.intermediate_values.values(), default=0.0)

    def holds(self, point: Params) -> bool:
        """Whether this part of the space has the backbone of ``point``."""
        return self.space["backbone"].contains(point["backbone"])

    def ask(self, number: int) -> optuna.Trial | None:
        """A trial at a point that was not tried before; None where there is none."""
        for _ in range(_MOST_TWINS):
            trial = self._study.ask()
            key = _key(suggest(self.space, trial))
            if key not in self._tried:
                return self._begin(number, trial, key)
            self._tell_twin(trial, self._tried[key])
        left = self._first_untried()
        return None if left is None else self.ask_for(number, left)

    def ask_for(self, number: int, point: Params) -> optuna.Trial | None:
        """A trial at ``point``; None where it was tried."""
        key = _key(point)
        if key in self._tried:
            return None
        searched = {name: point[name] for name in point if name in self.space.searched}
        self._study.enqueue_trial(searched)
        trial = self._study.ask()
        suggest(self.space, trial)
        return self._begin(number, trial, key)

    def tell(self, trial: optuna.Trial, record: TrialRecord) -> None:
        trial.set_user_attr("stop_reason", record.stop_reason)
        best = record.best
        complete = record.state is TrialState.COMPLETE and best is not None
        value = best.val_accuracy if complete and best else None
        self._study.tell(trial, value, state=_STATES[record.state])
        told = self._study.get_trials(deepcopy=False)[trial.number]
        self._tried[_key(self.space.nearest(record.params))] = told

    def _begin(self, number: int, trial: optuna.Trial, key: str) -> optuna.Trial:
        trial.set_user_attr(_NUMBER, number)
        self._tried[key] = None
        return trial

    def _first_untried(self) -> Params | None:
        """A point of a space without ranges of real numbers that was not tried; None if none."""
        if any(isinstance(dimension, Float) for dimension in self.space.dimensions):
            return None
        every = every_point(self.space)
        return next((point for point in every if _key(point) not in self._tried), None)

    def _tell_twin(self, trial: optuna.Trial, twin: FrozenTrial | None) -> None:
        # The first of the two may still be running (None): nothing is known to tell then.
        trial.set_user_attr(_TWIN, -1 if twin is None else twin.number)
        if twin is not None and twin.state is OptunaState.COMPLETE:
            self._study.tell(trial, twin.value)
        else:
            self._study.tell(trial, state=OptunaState.FAIL)


def own_seed(seed: int, number: int) -> int:
    """The seed of trial ``number``, from the seed of the search."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % 2**31


def families_of(space: SearchSpace) -> dict[str, SearchSpace]:
    """The part of ``space`` of each family of networks in it, by the family's name."""
    backbone = space["backbone"]
    options = backbone.options if isinstance(backbone, Choice) else ()
    found = {}
    for family in leaves(backbones):
        own = tuple(name for name in options if name in family.VARIANTS)
        if own:
            found[family.__name__.rpartition(".")[2]] = space.only("backbone", own)
    return found


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


def _suggest_one(dimension: Dimension, trial: Any) -> Any:
    name = dimension.name
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(name, list(dimension.options))
    if isinstance(dimension, Float):
        return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    # Optuna wants the upper bound on a step.
    high = dimension.nearest(dimension.high)
    return trial.suggest_int(name, dimension.low, high, step=dimension.step, log=dimension.log)


def _optuna_sampler(kind: str, seed: int, arms: int) -> optuna.samplers.BaseSampler:
    if kind == "tpe":
        # At random first; ten for each of several families would be all that they get.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10 if arms == 1 else 5)
    # The points of a grid are enqueued; what is asked for beyond them ends the search.
    return optuna.samplers.RandomSampler(seed=seed)


def _key(params: Params) -> str:
    return json.dumps(params, sort_keys=True)
