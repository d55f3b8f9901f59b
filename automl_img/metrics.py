"""Scores of predicted classes, one number each: what a search can aim at, and parts of the test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# What a search can aim at beside the accuracy, as it says it.
NAMES = {
    "val_accuracy": "accuracy",
    "val_balanced_accuracy": "balanced accuracy",
    "val_macro_f1": "macro F1",
    "val_auc": "area under the ROC curve",
    "val_loss": "exp(-loss)",
}


def score(objective: str, probabilities: np.ndarray, labels: np.ndarray) -> float:
    """What predictions reach by an objective, in [0, 1]; the higher the better.

    Of ``val_loss`` that is exp(-loss), the geometric mean of the probabilities of the right
    classes. An area under the curve that is not defined, as all images are of one class, is 0.5.

    Args:
        objective: a key of ``NAMES``.
        probabilities: (images, classes), rows sum to 1, at least one image.
        labels: int64 (images,).
    """
    return _SCORES[objective](probabilities, labels)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions, of at least one image."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats, of at least one image; of a probability of 0 it is 27.6."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def macro_recall(hits: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have images; shapes (..., classes) to (...)."""
    return _mean_present(_ratio(hits, support), support)


def macro_f1(hits: np.ndarray, support: np.ndarray, claimed: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that have images; shapes (..., classes) to (...)."""
    return _mean_present(_ratio(2 * hits, support + claimed), support)


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


def _of_counts(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each class: right predictions, images and predictions, int64 (classes,) each."""
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    counts = (predicted[predicted == labels], labels, predicted)
    return tuple(np.bincount(each, minlength=classes) for each in counts)


def _balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    hits, support, _ = _of_counts(probabilities, labels)
    return float(macro_recall(hits, support))


def _macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(macro_f1(*_of_counts(probabilities, labels)))


def _auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    area, _ = roc_auc(labels, probabilities)
    return 0.5 if area is None else area


def _likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(np.exp(-log_loss(probabilities, labels)))


_SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "val_accuracy": accuracy,
    "val_balanced_accuracy": _balanced_accuracy,
    "val_macro_f1": _macro_f1,
    "val_auc": _auc,
    "val_loss": _likelihood,
}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    zeros = np.zeros(np.shape(above))
    shares: np.ndarray = np.divide(above, below, out=zeros, where=np.asarray(below) > 0)
    return shares


def _mean_present(values: np.ndarray, support: np.ndarray) -> np.ndarray:
    present = support > 0
    total: np.ndarray = (values * present).sum(axis=-1) / present.sum(axis=-1)
    return total
