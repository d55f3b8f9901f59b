"""What to try next: Optuna studies, the durable state of a search."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna

from automl_img.models import backbones
from automl_img.objectives import OBJECTIVES, Limits, Objective
from automl_img.plugins import leaves
from automl_img.search.arm import INFEASIBLE, NOT_STARTED, OUT_OF_MEMORY, Arm, suggest
from automl_img.search.race import Race
from automl_img.search.storage import OneWriter
from automl_img.space.dimensions import Choice, SearchSpace
from automl_img.trials import EpochResult, Origin, Params, TrialRecord, TrialState

# Families that race. Six of them lost to one study by 7 points of regret after 50 trials; two did
# as well as it: docs/benchmarks.md, ``simulate.py``, start sets.
MOST_RACING = 4
# The study of a search that is not divided into families.
_ONLY = "search"


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

    With "tpe" each of two to four families of networks has a study of its own, as what is good for
    one says little of another, and a race between them decides which is asked
    (``automl_img.search.race``). Equal tries of more families would take most of a budget:
    simulated, one study did better. Nor do families race with several objectives: one that is
    beaten in accuracy may be the cheapest.
    All studies lie in one SQLite file that this process alone writes; optuna-dashboard may read it
    meanwhile. The same seed gives the same suggestions as long as trials end in the same order,
    which one worker guarantees.
    """

    def __init__(
        self,
        path: Path,
        space: SearchSpace,
        kind: str,
        seed: int,
        objectives: Sequence[Objective] = OBJECTIVES[:1],
        limits: Limits | None = None,
    ) -> None:
        """
        Args:
            path: of ``study.db``; created, or opened to go on.
            kind: "tpe", "random" or "grid".
            objectives: the accuracy first.
            limits: what the models have to keep, which "tpe" learns to.
        """
        self.space = space
        self.seed = seed
        self._storage = OneWriter(path)
        spaces = {_ONLY: space}
        if kind == "tpe" and len(objectives) == 1:
            spaces = racing(space) or spaces
        self._arms = {
            name: Arm(
                self._storage,
                name,
                inner,
                kind,
                seed,
                len(spaces),
                objectives,
                limits,
            )
            for name, inner in spaces.items()
        }
        self._race = Race(tuple(spaces))
        self._running: dict[int, tuple[str, optuna.Trial]] = {}
        # The last epoch of a trial that an earlier session reported.
        self._reported: dict[int, int] = {}
        for name, arm in self._arms.items():
            for score in arm.scores():
                self._race.tried(name)
                self._race.ended(name, score)

    def restore(self, records: Iterable[TrialRecord], unfinished: Collection[int]) -> None:
        """Settle what the studies hold of a session that was killed: its trials are told as their
        records have it, go on, or are given up where they never began.

        Args:
            records: of all trials that ended.
            unfinished: numbers of the trials that go on.
        """
        ended = {record.number: record for record in records}
        for name, arm in self._arms.items():
            for number, trial, last in arm.left():
                self._running[number] = name, trial
                self._race.tried(name)
                if number in unfinished:
                    self._reported[number] = last
                    continue
                if number in ended:
                    self.tell(ended[number])
                else:
                    own = own_seed(self.seed, number)
                    params = suggest(arm.space, trial)
                    self.tell(not_started(Suggestion(number, params, own)))

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
        """Keep the objective of one epoch in its study; of others than its own trials
        nothing is kept."""
        # What was reported before its checkpoint was read comes again.
        new = result.epoch > self._reported.get(number, 0)
        if number in self._running and result.objective is not None and new:
            family, trial = self._running[number]
            self._arms[family].report(trial, result.objective, result.epoch)

    def tell(self, record: TrialRecord) -> None:
        """Keep how a trial ended: complete with its best value, pruned, or failed."""
        began = record.number in self._reported
        if record.number not in self._running or (began and record.stop_reason == NOT_STARTED):
            # What an earlier session had begun stays open for a later one.
            return
        family, trial = self._running.pop(record.number)
        self._arms[family].tell(trial, record)
        if record.stop_reason == NOT_STARTED:
            return
        unfit = record.stop_reason in (INFEASIBLE, OUT_OF_MEMORY)
        if unfit or (record.stop_reason == "budget" and not record.best):
            # Other networks of its family may keep the limits; and who had no time did not fail.
            return
        usable = record.state is not TrialState.FAILED and record.best is not None
        self._race.ended(family, record.best.quality[0] if usable and record.best else 0.0)

    def close(self) -> None:
        """Let go of the file."""
        self._storage.close()


def not_started(suggestion: Suggestion) -> TrialRecord:
    """The record of a trial that was asked for and will not start."""
    now = time.time()
    return TrialRecord(
        number=suggestion.number,
        state=TrialState.FAILED,
        stop_reason=NOT_STARTED,
        params=suggestion.params,
        seed=suggestion.seed,
        started=now,
        ended=now,
    )


def own_seed(seed: int, number: int) -> int:
    """The seed of trial ``number``, from the seed of the search."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % 2**31


def racing(space: SearchSpace) -> dict[str, SearchSpace]:
    """The families of ``space`` that have a study each; empty where they share one."""
    families = families_of(space)
    return families if 1 < len(families) <= MOST_RACING else {}


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
