"""One Optuna study, and the part of the search space that it searches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from automl_img.objectives import Limits, Objective
from automl_img.search.grid import every_point
from automl_img.search.storage import study_in
from automl_img.space.dimensions import Choice, Dimension, Float, SearchSpace
from automl_img.trials import Params, TrialRecord, TrialState

# Trials that TPE suggests at random before it begins to learn: of a search that is one study; and
# of each of several, where ten would be all that they get.
AT_RANDOM, AT_RANDOM_OF_SEVERAL = 10, 5
_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
# How often a point that was tried already is asked for in a row before the space counts as spent.
_MOST_TWINS = 30
# Of a trial whose model breaks a limit or would not fit; of one that was asked for and never handed
# to a worker; of one that did not fit.
INFEASIBLE, NOT_STARTED, OUT_OF_MEMORY = "infeasible", "not started", "out of memory"
# Attributes of a trial in Optuna: its number in the search; how it ended; the one that tried its
# point before.
_NUMBER = "number"
_REASON = "stop_reason"
_TWIN = "twin_of"


class Arm:
    """One study, and the part of the space that it searches."""

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        space: SearchSpace,
        kind: str,
        seed: int,
        arms: int,
        objectives: Sequence[Objective],
        limits: Limits | None = None,
    ) -> None:
        """
        Args:
            name: of the study, which is created, or opened to go on.
            kind: of the sampler: "tpe", "random" or "grid".
            arms: how many studies the search has.
        """
        self.space = space
        self._objectives = objectives
        self._limits = limits or Limits()
        self._study = study_in(storage, name, [each.direction for each in objectives])
        known = self._study.get_trials(deepcopy=False)
        # A sampler that starts anew with the same seed would repeat its suggestions.
        words = [seed, len(known), *name.encode("utf-8")]
        start = int(np.random.SeedSequence(words).generate_state(1)[0])
        self._study.sampler = optuna_sampler(kind, start, arms)
        # Points tried so far; None while the first trial of a point is still running.
        self._tried: dict[str, FrozenTrial | None] = {
            _key(space.nearest(trial.params)): trial for trial in known if _was_tried(trial)
        }

    @property
    def last_number(self) -> int:
        trials = self._study.get_trials(deepcopy=False)
        return max((int(trial.user_attrs.get(_NUMBER, -1)) for trial in trials), default=-1)

    def scores(self) -> Iterator[float]:
        """Best validation accuracy of each trial that ended; not of those that break a limit or had
        no time for a result."""
        for trial in self._study.get_trials(deepcopy=False):
            reason, reached = trial.user_attrs.get(_REASON), trial.intermediate_values
            without = reason in (INFEASIBLE, OUT_OF_MEMORY) or (reason == "budget" and not reached)
            if _was_tried(trial) and not without:
                failed = trial.state is OptunaState.FAIL
                yield 0.0 if failed else max(reached.values(), default=0.0)

    def left(self) -> Iterator[tuple[int, optuna.Trial, int]]:
        """The trials that a killed process left running, each with its number in the search and
        the last epoch that it has reported; what never got a number is dropped."""
        # What was enqueued would be asked for in place of another point.
        while self._study.get_trials(deepcopy=False, states=(OptunaState.WAITING,)):
            self._study.ask()
        for kept in self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,)):
            trial = optuna.trial.Trial(self._study, kept._trial_id)
            if _NUMBER in kept.user_attrs:
                self._tried[_key(suggest(self.space, trial))] = None
                last = max(kept.intermediate_values, default=0)
                yield int(kept.user_attrs[_NUMBER]), trial, last
            else:
                self._tell_twin(trial, None)

    def report(self, trial: optuna.Trial, accuracy: float, epoch: int) -> None:
        """Keep what a trial reached after ``epoch``; with several objectives Optuna takes none."""
        if len(self._objectives) == 1:
            trial.report(accuracy, epoch)

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
        """Keep how a trial ended, in the study too."""
        trial.set_user_attr(_REASON, record.stop_reason)
        for fact, excess in self._limits.violations(record.serving or {}).items():
            trial.set_constraint(fact, excess)
        if does_not_fit(record):
            trial.set_constraint("memory", 1.0)
        state, values = _STATES[record.state], [each.value(record) for each in self._objectives]
        if record.stop_reason == OUT_OF_MEMORY:
            # Of what has failed Optuna learns nothing.
            state = OptunaState.PRUNED
        known = [value for value in values if value is not None]
        if len(values) > 1 and state is OptunaState.PRUNED and len(known) == len(values):
            # Optuna has no place for what it had reached but this one.
            state = OptunaState.COMPLETE
        elif state is OptunaState.COMPLETE and len(known) < len(values):
            state = OptunaState.FAIL
        self._study.tell(trial, known if state is OptunaState.COMPLETE else None, state=state)
        told = self._study.get_trials(deepcopy=False)[trial.number]
        key = _key(self.space.nearest(record.params))
        if _was_tried(told):
            self._tried[key] = told
        else:
            self._tried.pop(key, None)

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
            self._study.tell(trial, twin.values)
        else:
            self._study.tell(trial, state=OptunaState.FAIL)


def does_not_fit(record: TrialRecord) -> bool:
    """Whether a trial needs more memory than there is, as far as that was found out."""
    broken = record.stop_reason == INFEASIBLE and record.memory is not None
    return broken or record.stop_reason == OUT_OF_MEMORY


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


def optuna_sampler(kind: str, seed: int, arms: int = 1) -> optuna.samplers.BaseSampler:
    """The sampler of one of ``arms`` studies; "tpe" learns from broken limits too."""
    if kind == "tpe":
        startup = AT_RANDOM if arms == 1 else AT_RANDOM_OF_SEVERAL
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    # The points of a grid are enqueued; what is asked for beyond them ends the search.
    return optuna.samplers.RandomSampler(seed=seed)


def _was_tried(trial: FrozenTrial) -> bool:
    """Whether it has ended, and tried its point itself."""
    begun = trial.user_attrs.get(_REASON) != NOT_STARTED
    return bool(trial.state.is_finished() and _TWIN not in trial.user_attrs and begun)


def _key(params: Params) -> str:
    return json.dumps(params, sort_keys=True)
