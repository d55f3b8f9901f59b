"""How a budget is spent: how long the search goes on, and what is kept back for its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from automl_img.budget import Budget
from automl_img.search.reserve import Reserve
from automl_img.trials import Params, TrialRecord

# What comes one after the other: the search, training the finalists again, retraining the winner.
Part = Literal["search", "finalists", "retraining"]
# Of a budget, for training the finalists again from other seeds.
FOR_FINALISTS = 0.2
# Of a budget of seconds, at the most, for retraining the winner.
FOR_RETRAINING = 0.5
# Three finalists, two more seeds each; more would say little more. With the seeds of the first two,
# a third finalist is worth more than a third seed.
MOST_REPEATS, MOST_FINALISTS = 6, 3


class Spending:
    """Counts what trials cost, and says what may still be started.

    A budget of trials or epochs counts the trials of the search and the repeats of its finalists;
    the retraining comes on top. A budget of seconds is wall time for everything, so that a part of
    it is kept back for what comes after the search.
    """

    def __init__(self, budget: Budget, reserve: Reserve, elapsed: Callable[[], float]) -> None:
        """
        Args:
            elapsed: gives the seconds since the search began.
        """
        self.budget = budget
        self.reserve = reserve
        self._elapsed = elapsed
        self._trials = 0
        self._epochs = 0
        self._infeasible = 0
        # Of the budget, what repeats of earlier sessions took: the search does not make up for it.
        self._repeated = 0

    @property
    def finalists(self) -> int:
        """How many trials the budget foresees to train again: 0, 2 or 3; one says nothing."""
        most = self._most_repeats
        return min(MOST_FINALISTS, max(2, most // 2)) if most > 1 else 0

    @property
    def repeats(self) -> int:
        """How many trainings that are, of each finalist as many: 0, or 2 to 6."""
        return self._most_repeats // self.finalists * self.finalists if self.finalists else 0

    @property
    def _most_repeats(self) -> int:
        trials = self.budget.trials
        return min(MOST_REPEATS, MOST_REPEATS if trials is None else int(FOR_FINALISTS * trials))

    @property
    def spent(self) -> float:
        """The share of the budget that is spent, in [0, 1]."""
        return min(1.0, self._used() / self.budget.amount)

    def trials_in(self, share: float, epochs: int) -> int | None:
        """How many trials of ``epochs`` a share of the budget has room for, at least one; None
        where that is not known before they run."""
        each = {"trials": 1, "epochs": epochs, "seconds": 0}[self.budget.unit]
        return max(1, int(share * self.budget.amount / each)) if each else None

    def started(self) -> None:
        """Count a trial."""
        self._trials += 1

    def infeasible(self) -> None:
        """Give back a trial that was counted and not trained, as its model breaks a limit.

        So many as the budget has trials are free, so that a search of limits that nothing keeps
        ends too; of a budget of epochs each costs one.
        """
        self._infeasible += 1
        self._epochs += 1
        if self._infeasible <= self.budget.amount:
            self._trials -= 1

    def restore(self, record: TrialRecord, seconds: float) -> float:
        """Count what a trial of an earlier session cost.

        Args:
            seconds: from the beginning of the run until the trial ended.

        Returns:
            The share of the budget that was spent by then.
        """
        self.started()
        self._epochs += len(record.epochs)
        if record.origin == "repeat":
            self._repeated += 1 if self.budget.unit == "trials" else len(record.epochs)
        if record.stop_reason == "infeasible":
            self.infeasible()
        used = seconds if self.budget.unit == "seconds" else self._used()
        return min(1.0, used / self.budget.amount)

    def trained(self) -> None:
        """Count an epoch of a trial."""
        self._epochs += 1

    def allows(self, part: Part, seconds: float = 0.0, epochs: int = 1, trials: int = 1) -> bool:
        """Whether there is budget for trials that have not started.

        Args:
            seconds, epochs: what they need at least.
            trials: how many they are.
        """
        needs = {"trials": float(trials), "epochs": float(epochs), "seconds": seconds}
        return self._used(part) + needs[self.budget.unit] <= self._limit(part)

    def has_time_for(self, seconds: float) -> bool:
        """Whether so much wall time is left of the whole budget."""
        most = self.budget.seconds
        return most is None or self._elapsed() + seconds <= most

    def used_up(self, part: Part) -> bool:
        """Whether running trials have to end."""
        return self.budget.unit != "trials" and self._used(part) >= self._limit(part)

    def deadline(self, part: Part, params: Params | None = None) -> float | None:
        """When trials have to end, in seconds since 1970; None without a limit.

        Args:
            params: of the trial, whose model may take longer to export than those before.
        """
        if self.budget.seconds is None:
            return None
        return time.time() + self._limit(part, params) - self._elapsed()

    def _used(self, part: Part | None = None) -> float:
        aside = self._repeated if part == "search" else 0
        match self.budget.unit:
            case "trials":
                return float(self._trials - aside)
            case "epochs":
                return float(self._epochs - aside)
            case "seconds":
                return self._elapsed()

    def _limit(self, part: Part, params: Params | None = None) -> float:
        """What may have been spent when ``part`` ends."""
        amount = self.budget.amount
        if self.budget.unit == "trials":
            return amount - self.repeats if part == "search" else amount
        if self.budget.unit == "epochs":
            return amount * (1 - FOR_FINALISTS) if part == "search" else amount
        kept = self.reserve.after_retraining(params)
        if part != "retraining":
            kept += self.reserve.retraining(FOR_RETRAINING * amount)
        if part == "search":
            kept += self.reserve.repeats(self.repeats, FOR_FINALISTS * amount)
        return amount - kept
