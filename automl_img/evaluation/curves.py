"""ROC and precision-recall curves of the classes, thinned to a few points each."""

from __future__ import annotations

from typing import Any

import numpy as np

from automl_img.labels import are_sets, count, has

MOST_CLASSES = 200
POINTS = 101
WORST = 3


def curves(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any] | None:
    """Curves of the macro mean and of the classes with the smallest area under the ROC curve.

    Each class is taken against the rest; of two classes, of which each image has one, only the
    second one is. Classes without
    images inside or outside have no curve, and do not count in the mean: scikit-learn's average
    precision of such a class is 0, which would drag the mean down.

    Args:
        labels: see ``automl_img.labels``.
        probabilities: float, shape (images, classes), finite.

    Returns:
        ``grid``, the false-positive rates and recalls at which the curves are given; ``roc`` and
        ``pr``, the macro mean of true-positive rates and of precisions there;
        ``average_precision``, the macro mean; ``classes``, the worst as {index, images, auc,
        average_precision, roc, pr}.
        None over 200 classes, or where no class has a curve.
    """
    images, classes = probabilities.shape
    counts = count(labels, classes)
    wanted = [1] if classes == 2 and not are_sets(labels) else range(classes)
    present = [i for i in wanted if 0 < counts[i] < images]
    if not present or classes > MOST_CLASSES:
        return None
    found = [_curve(i, has(labels, i), probabilities[:, i]) for i in present]
    worst = sorted(found, key=lambda one: (one["auc"], one["index"]))[:WORST]
    return {
        "grid": _rounded(np.linspace(0, 1, POINTS)),
        "roc": _rounded(np.mean([one["roc"] for one in found], axis=0)),
        "pr": _rounded(np.mean([one["pr"] for one in found], axis=0)),
        "average_precision": float(np.mean([one["average_precision"] for one in found])),
        "classes": worst,
    }


def _curve(index: int, mine: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    grid = np.linspace(0, 1, POINTS)
    false_positives, true_positives, _ = roc_curve(mine, scores)
    precision, recall, _ = precision_recall_curve(mine, scores)
    # The best precision at this recall or a higher one: what a threshold can reach.
    reachable = np.maximum.accumulate(precision)
    return {
        "index": index,
        "images": int(mine.sum()),
        "auc": float(auc(false_positives, true_positives)),
        "average_precision": float(average_precision_score(mine, scores)),
        "roc": _rounded(_steps(grid, false_positives, true_positives)),
        "pr": _rounded(reachable[::-1][np.searchsorted(recall[::-1], grid, side="left")]),
    }


def _steps(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The highest y at each x of ``grid``; ties of x are a vertical step of the curve."""
    places = np.searchsorted(x, grid, side="right")
    right = np.minimum(places, len(x) - 1)
    left = np.maximum(places - 1, 0)
    width = x[right] - x[left]
    share = np.divide(grid - x[left], width, out=np.zeros(len(grid)), where=width > 0)
    heights: np.ndarray = y[left] + np.clip(share, 0, 1) * (y[right] - y[left])
    return heights


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
