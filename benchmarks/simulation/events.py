"""One simulated search: workers in virtual time, around our own rungs, race and samplers.

What decides is the project's own code: ``automl_img.search.rungs``, ``automl_img.search.race`` and
the samplers as ``automl_img.search.arm`` builds them. What is made up is the clock and what
the trials give.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import TrialState

from automl_img.search.arm import optuna_sampler, suggest
from automl_img.search.rungs import Rungs, ladder_of, warmup_of
from automl_img.search.sampler import families_of
from automl_img.search.sampler import racing as families_that_race
from automl_img.search.start import start_set
from automl_img.trials import EpochResult, Params, TrialRecord
from automl_img.trials import TrialState as State
from simulation.strategies import Racing, Strategy, racing
from simulation.tasks import Curve, Task

# The one family of a search without a race.
_ALL = ""
# Tries of each family before one study for all is free to choose among them.
_TURNS = 2


@dataclass(frozen=True)
class Moment:
    """The state of a search when an epoch had ended.

    Attributes:
        seconds: of virtual time.
        epochs: trained so far, of all trials.
        trials: that were stopped or ended so far.
        worth: of the model that looks best on the validation images.
        record: of the trial that ended or was stopped with the epoch, if one did.
    """

    seconds: float
    epochs: int
    trials: int
    worth: float
    record: TrialRecord | None = None


@dataclass
class _Trial:
    number: int
    params: Params
    curve: Curve
    family: str
    ladder: str
    asked: optuna.Trial
    epoch: int = 0
    best: float = 0.0
    best_epoch: int = 0
    told: bool = False


def run(task: Task, strategy: Strategy, seed: int, workers: int) -> Iterator[Moment]:
    """Search for as long as somebody listens; the same arguments give the same moments."""
    search = _Search(task, strategy, seed)
    # What ends first comes first; among equals, what began first.
    ends: list[tuple[float, int, _Trial]] = []
    order = 0

    def begin_epoch(trial: _Trial, now: float) -> None:
        nonlocal order
        order += 1
        heapq.heappush(ends, (now + trial.curve.seconds, order, trial))

    for _ in range(workers):
        trial = search.next()
        begin_epoch(trial, trial.curve.fixed)
    while True:
        now, _, trial = heapq.heappop(ends)
        goes_on = search.epoch_ended(trial)
        yield Moment(now, search.epochs, search.ended, search.worth, search.record)
        if goes_on:
            begin_epoch(trial, now)
        else:
            trial = search.next()
            # One that is resumed is built and filled anew: its graph may be gone meanwhile.
            begin_epoch(trial, now + trial.curve.fixed)


class _Search:
    def __init__(self, task: Task, strategy: Strategy, seed: int) -> None:
        self._task, self._strategy, self._seed = task, strategy, seed
        self._rungs = Rungs(task.max_epochs, strategy.grace, strategy.promotion)
        self._asked = _Points(task, strategy, seed)
        self._paused: dict[int, _Trial] = {}
        self._started = 0
        self._seen = 0.0
        self.worth = task.chance
        self.epochs = 0
        self.ended = 0
        self.record: TrialRecord | None = None

    def next(self) -> _Trial:
        """What a free worker trains: one that was stopped and may go on, else a new one."""
        if self._strategy.promotion and (number := self._rungs.promote()) is not None:
            return self._paused.pop(number)
        params, family, asked = self._asked.next()
        number = self._started
        self._started += 1
        state = np.random.SeedSequence([self._seed, number]).generate_state(1)
        curve = self._task.curve(params, int(state[0]))
        return _Trial(number, params, curve, family, self._ladder(params), asked)

    def epoch_ended(self, trial: _Trial) -> bool:
        """Take in the next epoch of ``trial``; False where it does not go on for now."""
        self.epochs += 1
        self.record = None
        trial.epoch += 1
        if trial.epoch > len(trial.curve.observed):
            return self._end(trial, TrialState.FAIL)
        value = trial.curve.observed[trial.epoch - 1]
        if value > trial.best:
            trial.best, trial.best_epoch = value, trial.epoch
        if value > self._seen:
            self._seen, self.worth = value, trial.curve.worth[trial.epoch - 1]
        if not trial.told:
            trial.asked.report(value, trial.epoch)
        patience = int(trial.params["early_stopping.patience"])
        if trial.epoch == self._task.max_epochs or trial.epoch - trial.best_epoch >= patience:
            return self._end(trial, TrialState.COMPLETE)
        if self._strategy.stopping and not self._rungs.goes_on(
            trial.number, trial.epoch, trial.best, trial.ladder, warmup_of(trial.params)
        ):
            self._paused[trial.number] = trial
            return self._end(trial, TrialState.PRUNED)
        return True

    def _end(self, trial: _Trial, state: TrialState) -> bool:
        """Tell the study and the race, once: what a promotion adds they do not hear."""
        if not trial.told:
            trial.told = True
            self.ended += 1
            self.record = _record_of(trial, state)
            score = 0.0 if state is TrialState.FAIL else trial.best
            self._asked.ended(trial.family, trial.asked, score, state)
        return False

    def _ladder(self, params: Params) -> str:
        match self._strategy.ladders:
            case "one":
                return ""
            case "backbone":
                return f"{params['backbone']} {ladder_of(params)}"
            case _:
                return ladder_of(params)


def _record_of(trial: _Trial, state: TrialState) -> TrialRecord:
    """As the record of a search tells it; of an epoch it has the accuracy alone."""
    epochs = tuple(
        EpochResult(number, 0.0, 0.0, 0.0, value, trial.curve.seconds, 0.0)
        for number, value in enumerate(trial.curve.observed[: trial.epoch], 1)
    )
    kept = State[state.name.replace("FAIL", "FAILED")]
    return TrialRecord(trial.number, kept, "", trial.params, 0, 0.0, 0.0, epochs)


class _Points:
    """What to try next, as the sampler and, where there is one, the race say."""

    def __init__(self, task: Task, strategy: Strategy, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._task, self._kind = task, strategy.sampler
        self._rng = np.random.default_rng(seed)
        self._shuffled: list[Params] = []
        families = families_of(task.space)
        self._race: Racing | None = None
        many = strategy.race == "shipped" and not families_that_race(task.space)
        if len(families) > 1 and not many and strategy.race not in ("none", "in turn"):
            self._race = racing(strategy.race, tuple(families))
        self._whole_only = strategy.race == "test of whole"
        # By family: its part of the space, and its study.
        self._spaces = families if self._race else {_ALL: task.space}
        kind = "random" if self._kind == "pool" else self._kind
        self._studies = {}
        for place, name in enumerate(self._spaces):
            own = int(np.random.SeedSequence([seed, place]).generate_state(1)[0])
            chooser = optuna_sampler(kind, own, len(self._spaces))
            self._studies[name] = optuna.create_study(direction="maximize", sampler=chooser)
        self._start = start_set(task.space, task.facts) if strategy.start else []
        turns = [list(families)] * _TURNS if strategy.race == "in turn" else []
        self._turns = [name for turn in turns for name in turn] if len(families) > 1 else []
        self._families = families

    def next(self) -> tuple[Params, str, optuna.Trial]:
        """(point, its family, its trial in the study of that family)."""
        wanted = self._wanted()
        family = self._family_of(wanted)
        space, study = self._spaces[family], self._studies[family]
        if self._race:
            self._race.tried(family)
        if wanted is not None:
            inside = space.nearest(wanted)
            study.enqueue_trial({name: inside[name] for name in inside if name in space.searched})
        elif self._turns:
            backbones = self._families[self._turns.pop(0)]["backbone"].grid(1)
            study.enqueue_trial({"backbone": backbones[self._rng.integers(len(backbones))]})
        asked = study.ask()
        return suggest(space, asked), family, asked

    def ended(self, family: str, asked: optuna.Trial, score: float, state: TrialState) -> None:
        """How a trial went: its best accuracy, 0 where it failed."""
        value = score if state is TrialState.COMPLETE else None
        self._studies[family].tell(asked, value, state=state)
        if self._race and not (self._whole_only and state is TrialState.PRUNED):
            self._race.ended(family, score)

    def _wanted(self) -> Params | None:
        """A point that no sampler chooses: of the start set, or the next of a shuffled pool."""
        if self._start:
            return self._start.pop(0)
        if self._kind != "pool" or self._task.pool is None:
            return None
        if not self._shuffled:
            pool = self._task.pool
            self._shuffled = [pool[place] for place in self._rng.permutation(len(pool)).tolist()]
        return self._shuffled.pop()

    def _family_of(self, point: Params | None) -> str:
        """That of ``point``, or the one whose turn it is."""
        if self._race is None:
            return _ALL
        if point is None:
            # Ranges of real numbers are never used up.
            return str(self._race.next())
        backbone = point["backbone"]
        return next(
            name for name in self._spaces if self._spaces[name]["backbone"].contains(backbone)
        )
