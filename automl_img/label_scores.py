"""Scores of predictions for images that may have several classes, one or none.

Labels are uint8 and probabilities float, both (images, classes), each probability for itself in
[0, 1]. A class is said to be there from 0.5 on, where no thresholds are given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

THRESHOLD = 0.5
# What a search can aim at only where images have several classes, as it says it.
NAMES = {"val_map": "mean average precision", "val_jaccard": "Jaccard index"}


def all_right(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: float | np.ndarray = THRESHOLD
) -> np.ndarray:
    """Images of which every class is said right, bool (images,).

    Args:
        thresholds: from which on a class is said to be there, one for all or float (classes,).
    """
    found: np.ndarray = ((probabilities >= thresholds) == (labels > 0)).all(axis=1)
    return found


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the images of the sum of the classes' binary cross-entropies, in nats."""
    chosen = np.where(labels > 0, probabilities, 1.0 - probabilities).astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-12)).sum(axis=1).mean())


def average_precisions(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The average precision of each class, float (classes,); not a number where no image has it.

    It is the mean, over the images that have the class, of the precision at the probability of the
    image: what ``sklearn.metrics.average_precision_score`` gives, of all classes in one go.
    """
    from scipy.stats import rankdata

    mine = labels > 0
    # From the highest probability down; of equal ones the last place counts for all.
    among_all = rankdata(-probabilities, method="max", axis=0)
    among_mine = rankdata(np.where(mine, -probabilities, np.inf), method="max", axis=0)
    sums = np.where(mine, among_mine / among_all, 0.0).sum(axis=0)
    count = mine.sum(axis=0)
    nothing = np.full(len(count), np.nan)
    found: np.ndarray = np.divide(sums, count, out=nothing, where=count > 0)
    return found


def mean_average_precision(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of the average precisions over the classes that images have; 0 where none is."""
    each = average_precisions(probabilities, labels)
    known = each[np.isfinite(each)]
    return float(known.mean()) if len(known) else 0.0


def resampled_map(probabilities: np.ndarray, labels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean average precision of images drawn anew, float (draws,): that of
    ``mean_average_precision``, of many draws at the cost of one sorting.

    Args:
        drawn: how often each image was drawn, int (draws, images).
    """
    order = np.argsort(-probabilities, axis=0, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=0)
    mine = np.take_along_axis(labels > 0, order, axis=0)
    # Of equal probabilities the last place counts for all.
    places = np.arange(len(labels))[:, None]
    ends = np.vstack([ranked[1:] < ranked[:-1], np.ones((1, ranked.shape[1]), np.bool_)])
    last = np.minimum.accumulate(np.where(ends, places, len(labels))[::-1], axis=0)[::-1]
    found = np.zeros(len(drawn))
    for draw, times in enumerate(drawn):
        every = times[order]
        own = every * mine
        reached = [np.take_along_axis(each.cumsum(axis=0), last, axis=0) for each in (own, every)]
        precisions = reached[0] / np.maximum(reached[1], 1)
        count = own.sum(axis=0)
        present = count > 0
        if present.any():
            each = (precisions * own).sum(axis=0)[present] / count[present]
            found[draw] = each.mean()
    return found


def jaccard(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: float | np.ndarray = THRESHOLD
) -> np.ndarray:
    """Of each image the classes that it has and is said to have as a share of those that it has or
    is said to have, float (images,); 1 where there is none of either.

    Args:
        thresholds: see ``all_right``.
    """
    said, mine = probabilities >= thresholds, labels > 0
    either = (said | mine).sum(axis=1)
    both = (said & mine).sum(axis=1)
    found: np.ndarray = np.divide(both, either, out=np.ones(len(labels)), where=either > 0)
    return found


def f1_scores(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: float | np.ndarray = THRESHOLD
) -> np.ndarray:
    """F1 of each class, float (classes,); not a number where no image has it.

    Args:
        thresholds: see ``all_right``.
    """
    said, mine = probabilities >= thresholds, labels > 0
    count = mine.sum(axis=0)
    nothing = np.full(len(count), np.nan)
    hits = (said & mine).sum(axis=0)
    claimed = said.sum(axis=0)
    found: np.ndarray = np.divide(2.0 * hits, count + claimed, out=nothing, where=count > 0)
    return found


def _macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    each = f1_scores(probabilities, labels)
    known = each[np.isfinite(each)]
    return float(known.mean()) if len(known) else 0.0


def areas(mine: np.ndarray, probabilities: np.ndarray) -> list[float | None]:
    """The area under the ROC curve of each class against the rest; None of a class that all images
    have, or none.

    Ranks give all classes in one go, and a class without images simply has none, where
    ``sklearn.metrics.roc_auc_score`` raises.

    Source: J. A. Hanley and B. J. McNeil, Radiology 143 (1982): the area is the Mann-Whitney
    statistic of the ranks.

    Args:
        mine: bool (images, classes), which image is of which class.
        probabilities: finite.
    """
    from scipy.stats import rankdata

    images, classes = probabilities.shape
    ranks = rankdata(probabilities, axis=0)
    inside = mine.sum(axis=0)
    pairs = inside * (images - inside)
    wins = (ranks * mine).sum(axis=0) - inside * (inside + 1) / 2
    return [float(wins[i] / pairs[i]) if pairs[i] else None for i in range(classes)]


def _auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    known = [area for area in areas(labels > 0, probabilities) if area is not None]
    return float(np.mean(known)) if known else 0.5


# By objective, each in [0, 1], the higher the better.
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "val_map": mean_average_precision,
    "val_jaccard": lambda probabilities, labels: float(jaccard(probabilities, labels).mean()),
    "val_accuracy": lambda probabilities, labels: float(all_right(probabilities, labels).mean()),
    "val_macro_f1": _macro_f1,
    "val_auc": _auc,
    # Of a class in the geometric mean: of all of an image it would be next to nothing.
    "val_loss": lambda probabilities, labels: float(
        np.exp(-log_loss(probabilities, labels) / labels.shape[1])
    ),
}
