"""Scores of the order that the probabilities put the images in."""

from __future__ import annotations

import numpy as np


def roc_auc(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[float | None, list[float | None]]:
    """The area under the ROC curve: of class 1 for two classes, else one against the rest, macro.

    Ranks give all classes in one go, and a class without images simply has none, where
    ``sklearn.metrics.roc_auc_score`` raises.

    Source: J. A. Hanley and B. J. McNeil, Radiology 143 (1982): the area is the Mann-Whitney
    statistic of the ranks.

    Args:
        labels: int64, shape (images,).
        probabilities: float, shape (images, classes), finite.

    Returns:
        The area, None where no class has images inside and outside of it; and that of each class.
    """
    from scipy.stats import rankdata

    images, classes = probabilities.shape
    ranks = rankdata(probabilities, axis=0)
    mine = labels[:, None] == np.arange(classes)[None, :]
    inside = mine.sum(axis=0)
    pairs = inside * (images - inside)
    wins = (ranks * mine).sum(axis=0) - inside * (inside + 1) / 2
    areas = [float(wins[i] / pairs[i]) if pairs[i] else None for i in range(classes)]
    if classes == 2:
        return areas[1], areas
    known = [area for area in areas if area is not None]
    return (float(np.mean(known)) if known else None), areas


def top_k(labels: np.ndarray, probabilities: np.ndarray, k: int) -> float:
    """The share of images whose class is among the ``k`` most probable; ties count against it."""
    own = probabilities[np.arange(len(labels)), labels]
    better = (probabilities >= own[:, None]).sum(axis=1)
    return float((better <= k).mean())
