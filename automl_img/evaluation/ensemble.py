"""Which models to average, chosen on validation predictions that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_img.errors import DataError
from automl_img.metrics import log_loss, score

# Weights are shares of so many picks.
_PICKS = 30

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Chosen:
    """A weighted average of models.

    Attributes:
        weights: one a model that was offered, in [0, 1], sum 1; 0 where it is left out.
        score: of the average on the images that it was chosen on, so an optimistic one.
        log_loss: there, in nats.
    """

    weights: tuple[float, ...]
    score: float
    log_loss: float

    @property
    def members(self) -> tuple[int, ...]:
        """The models with a weight above 0, by their places."""
        return tuple(place for place, weight in enumerate(self.weights) if weight > 0)


def greedy(
    probabilities: Sequence[_Array], labels: _Array, most: int, objective: str = "val_accuracy"
) -> Chosen:
    """Ensemble selection with replacement.

    Starts with the best model and adds, one pick at a time, the model with which the average has
    the highest score, among equals the lowest log loss, then the one offered first; a model may be
    picked again, which raises its weight. The best average on the way is returned, by score, then
    log loss, then fewer picks, so it is never worse than the best single model here.

    Source: Caruana et al., Ensemble selection from libraries of models, ICML 2004
    (https://doi.org/10.1145/1015330.1015432). Deviations: one model to start with, not several; no
    bagging of the library; a bound on the number of different models, which all have to run where
    the average is used.

    Args:
        probabilities: of each model, float, shape (images, classes). A model with a value that is
            not finite is never picked.
        labels: see ``automl_img.labels``.
        most: different models in the average, at least 1.
        objective: whose score counts; see ``automl_img.metrics.score``.

    Raises:
        DataError: the shapes do not fit together, or there is no image or no usable model.
    """
    offered = [np.asarray(each, dtype=np.float64) for each in probabilities]
    _check(offered, labels)
    usable = [place for place, each in enumerate(offered) if np.isfinite(each).all()]
    if not usable:
        raise DataError("an ensemble needs a model whose probabilities are finite, but got none")
    picks: list[int] = []
    total = np.zeros_like(offered[0])
    best: tuple[tuple[float, float], tuple[int, ...]] | None = None
    while len(picks) < _PICKS:
        allowed = usable if len(set(picks)) < most else sorted(set(picks))
        count = len(picks) + 1
        quality = {
            place: _quality((total + offered[place]) / count, labels, objective)
            for place in allowed
        }
        pick = max(allowed, key=lambda place: (quality[place], -place))
        picks.append(pick)
        total += offered[pick]
        if best is None or quality[pick] > best[0]:
            best = quality[pick], tuple(picks)
    assert best is not None  # There was a first pick.
    (reached, loss), chosen = best
    weights = np.bincount(chosen, minlength=len(offered)) / len(chosen)
    return Chosen(tuple(weights.tolist()), reached, -loss)


def average(probabilities: Sequence[_Array], weights: Sequence[float]) -> _Array:
    """The weighted mean of predictions, float32 (images, classes).

    Args:
        weights: one a model, sum 1.
    """
    parts = (
        np.asarray(each, np.float64) * w for each, w in zip(probabilities, weights, strict=True)
    )
    return sum(parts, np.zeros(1)).astype(np.float32)


def _quality(mean: _Array, labels: _Array, objective: str) -> tuple[float, float]:
    """(score, log loss with its sign turned) of probabilities."""
    return score(objective, mean, labels), -log_loss(mean, labels)


def _check(offered: Sequence[_Array], labels: _Array) -> None:
    shapes = sorted({each.shape for each in offered})
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != len(labels) or not len(labels):
        raise DataError(
            "an ensemble needs probabilities of one shape (images, classes) and a label for each "
            f"image, but got {shapes} and {len(labels)} labels"
        )
