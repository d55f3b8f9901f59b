"""The best trials against each other, on the validation images that all of them have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from automl_img.labels import are_sets
from automl_img.metrics import objectives_of, resampled_scores, score
from automl_img.report.card import Card, right_ones
from automl_img.report.statistics import mcnemar, paired_difference
from automl_img.runs import Predictions
from automl_img.trials import TrialRecord

# Of the normal distribution, at the level 0.05; as in ``automl_img.search.choice``.
_Z = 1.96
_RESAMPLES = 100
# Probabilities that the bootstrap may look at: seconds, of a score that ranks them half a minute.
_MOST = 100_000_000


@dataclass(frozen=True)
class Finalist:
    """One of the best trials, and how much the winner is ahead of it.

    Attributes:
        trial: its record.
        score: what trials were compared by, on the validation images of the kept predictions, in
            [0, 1].
        ahead: score of the winner minus this one, with its 95 % paired bootstrap interval; None
            where that would take too long.
        p: exact McNemar p-value, where the score is the share of the images that are right; else
            None.
        winner: this is the winner itself.
    """

    trial: TrialRecord
    score: float
    ahead: tuple[float, float, float] | None
    p: float | None
    winner: bool

    @property
    def separable(self) -> bool:
        """Whether the images tell it apart from the winner at 5 %: by McNemar's test, else by the
        interval."""
        if self.winner or self.ahead is None:
            return False
        _, low, high = self.ahead
        return self.p < 0.05 if self.p is not None else low > 0 or high < 0


def objective_of(card: Card) -> str:
    """What the trials of a run were compared by, a key of ``automl_img.metrics.NAMES``."""
    best = card.best_trial
    kept = card.finalists.get(best.number) if best else None
    known = objectives_of(card.data.multi_label if kept is None else are_sets(kept.labels))
    return next((name for name in card.search.objectives if name in known), "val_accuracy")


# The rules and the section both ask, and a bootstrap takes seconds.
@lru_cache(maxsize=1)
def finalists(card: Card) -> tuple[Finalist, ...]:
    """The winner first, then the others by score; empty without kept predictions of two."""
    best = card.best_trial
    if best is None or best.number not in card.finalists or len(card.finalists) < 2:
        return ()
    records = {trial.number: trial for trial in card.trials}
    labels = card.finalists[best.number].labels
    others = [
        number
        for number, predictions in sorted(card.finalists.items())
        if number in records
        and number != best.number
        and np.array_equal(predictions.labels, labels)
    ]
    numbers, objective = [best.number, *others], objective_of(card)
    kept = [card.finalists[number] for number in numbers]
    scores = [score(objective, each.probabilities, labels) for each in kept]
    of_images = objective == "val_accuracy"
    compared = _by_images(kept) if of_images else _by_score(objective, scores, kept)
    found = [
        Finalist(records[number], own, *gap, winner=number == best.number)
        for number, own, gap in zip(numbers, scores, compared, strict=True)
    ]
    return tuple(sorted(found, key=lambda item: (not item.winner, -item.score, item.trial.number)))


_Compared = tuple[tuple[float, float, float] | None, float | None]


def _by_images(kept: Sequence[Predictions]) -> list[_Compared]:
    """The first against each, by the images that they have right."""
    first, *others = map(right_ones, kept)
    return [
        (
            paired_difference(first, right, seed=0),
            mcnemar(int((first & ~right).sum()), int((right & ~first).sum())),
        )
        for right in (first, *others)
    ]


def _by_score(
    objective: str, scores: Sequence[float], kept: Sequence[Predictions]
) -> list[_Compared]:
    """The first against each, by a bootstrap over the images."""
    labels, models = kept[0].labels, [each.probabilities for each in kept]
    drawn = resampled_scores(objective, models, labels, _RESAMPLES, _MOST)
    if drawn is None:
        return [(None, None)] * len(kept)
    gaps = scores[0] - np.array(scores)
    errors = _Z * (drawn[:, :1] - drawn).std(axis=0, ddof=1)
    return [
        ((gap, gap - error, gap + error), None)
        for gap, error in zip(gaps.tolist(), errors.tolist(), strict=True)
    ]
