"""The best trials against each other, on the validation images that all of them have seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl_img.report.card import Card, right_ones
from automl_img.report.statistics import mcnemar, paired_difference
from automl_img.trials import TrialRecord


@dataclass(frozen=True)
class Finalist:
    """One of the best trials, and how much the winner is ahead of it.

    Attributes:
        trial: its record.
        accuracy: on the validation images of the kept predictions, in [0, 1].
        ahead: accuracy of the winner minus this one, with its 95 % paired bootstrap interval.
        p: exact McNemar p-value.
        winner: this is the winner itself.
    """

    trial: TrialRecord
    accuracy: float
    ahead: tuple[float, float, float]
    p: float
    winner: bool

    @property
    def separable(self) -> bool:
        """Whether the images tell it apart from the winner at 5 %."""
        return not self.winner and self.p < 0.05


def finalists(card: Card) -> list[Finalist]:
    """The winner first, then the others by accuracy; empty without kept predictions of two."""
    best = card.best_trial
    if best is None or best.number not in card.finalists or len(card.finalists) < 2:
        return []
    records = {trial.number: trial for trial in card.trials}
    reference = card.finalists[best.number]
    first = right_ones(reference)
    found = []
    for number, predictions in sorted(card.finalists.items()):
        if number not in records or not np.array_equal(predictions.labels, reference.labels):
            continue
        right = right_ones(predictions)
        ahead = paired_difference(first, right, seed=0)
        p = mcnemar(int((first & ~right).sum()), int((right & ~first).sum()))
        won = number == best.number
        found.append(Finalist(records[number], float(right.mean()), ahead, p, won))
    return sorted(found, key=lambda item: (not item.winner, -item.accuracy, item.trial.number))
