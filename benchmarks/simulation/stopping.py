"""What it saves, and what it costs, to end a search when it is stale (``--stop-when-stale``).

What decides is ``automl_img.search.stale``. A budget is so many full trainings of epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl_img.search.rungs import Rungs
from automl_img.search.stale import Staleness
from simulation.events import run
from simulation.strategies import Strategy
from simulation.tasks import Task


@dataclass(frozen=True)
class Ending:
    """How a search with ``--stop-when-stale`` ended.

    Attributes:
        used: share of its budget, 1 where it never was stale.
        lost: by how much, in accuracy, the model would have been better that looks best after the
            whole budget.
    """

    used: float
    lost: float


def ending(task: Task, strategy: Strategy, seed: int, trainings: int, workers: int) -> Ending:
    """Search until it is stale, and on to the end of the budget for what that would have given."""
    staleness = Staleness(Rungs(task.max_epochs, strategy.grace, strategy.promotion).epochs)
    budget = trainings * task.max_epochs
    stale: tuple[float, float] | None = None
    worth = task.chance
    for moment in run(task, strategy, seed, workers):
        if moment.epochs > budget:
            break
        worth, spent = moment.worth, moment.epochs / budget
        if moment.record is not None:
            staleness.ended(moment.record, spent)
        if stale is None and staleness.why(spent) is not None:
            stale = spent, worth
    used, then = stale or (1.0, worth)
    return Ending(used, worth - then)


def summary(endings: Sequence[Ending]) -> dict[str, float]:
    """Over some searches: in percent how many ended early and how much of the budget they used in
    the mean, in points of accuracy what they lost in the mean, and the most that one lost."""
    used = np.array([each.used for each in endings])
    lost = np.array([each.lost for each in endings])
    return {
        "ended early, %": round(100 * float((used < 1).mean()), 1),
        "used of the budget, %": round(100 * float(used.mean()), 1),
        "lost, points": round(100 * float(lost.mean()), 2),
        "lost at most, points": round(100 * float(lost.max()), 2),
    }
