"""Scores of predicted classes, one number each: what a search can aim at, and parts of the test.

Of images that have one class each; those of images that may have several are in ``label_scores``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from automl_img import label_scores
from automl_img.labels import are_sets

# What a search can aim at beside the accuracy, as it says it.
NAMES = {
    "val_accuracy": "accuracy",
    "val_balanced_accuracy": "balanced accuracy",
    "val_macro_f1": "macro F1",
    "val_auc": "area under the ROC curve",
    "val_loss": "exp(-loss)",
    **label_scores.NAMES,
}

# With fewer a variance says little.
_FEWEST_RESAMPLES = 40


def score(objective: str, probabilities: np.ndarray, labels: np.ndarray) -> float:
    """What predictions reach by an objective, in [0, 1]; the higher the better.

    Of ``val_loss`` that is exp(-loss), the geometric mean of the probabilities of the right
    classes. An area under the curve that is not defined, as all images are of one class, is 0.5.

    Args:
        objective: a key of ``NAMES``.
        probabilities: (images, classes), at least one image; rows sum to 1 where each image has
            one class.
        labels: see ``automl_img.labels``.
    """
    scores = label_scores.SCORES if are_sets(labels) else _SCORES
    return scores[objective](probabilities, labels)


def resampled_scores(
    objective: str, predictions: Sequence[np.ndarray], labels: np.ndarray, resamples: int, most: int
) -> np.ndarray | None:
    """What several models reach on images drawn anew, the same for all of them, float
    (resamples, models): a paired bootstrap with a fixed seed. None where that takes too long.

    Args:
        objective: see ``score``.
        predictions: one a model, float (images, classes).
        resamples: fewer are drawn where ``most`` wants it, but no fewer than 40.
        most: probabilities that are looked at in all.
    """
    resamples = min(resamples, most // sum(each.size for each in predictions))
    if resamples < _FEWEST_RESAMPLES:
        return None
    images, rng = len(labels), np.random.default_rng(0)
    draws = [rng.integers(images, size=images) for _ in range(resamples)]
    if objective == "val_map":
        times = np.stack([np.bincount(rows, minlength=images) for rows in draws])
        each = [label_scores.resampled_map(model, labels, times) for model in predictions]
        return np.column_stack(each)
    found = [
        [score(objective, model[rows], labels[rows]) for model in predictions] for rows in draws
    ]
    return np.array(found)


def objectives_of(sets: bool) -> tuple[str, ...]:
    """The objectives of images that have one class each, or that may have several."""
    return tuple(label_scores.SCORES if sets else _SCORES)


def right(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray | None = None
) -> np.ndarray:
    """Which images are predicted right, bool (images,): their class is the most probable one; of
    several classes each is on its side of its threshold.

    Args:
        thresholds: of images with several classes, float (classes,); None for 0.5 each.
    """
    known = np.where(np.isnan(probabilities), -1.0, probabilities)
    if are_sets(labels):
        each = label_scores.THRESHOLD if thresholds is None else thresholds
        return label_scores.all_right(known, labels, each)
    found: np.ndarray = known.argmax(axis=1) == labels
    return found


def confidence(
    probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray | None = None
) -> np.ndarray:
    """How sure a prediction of each image is, float (images,): the probability of the most probable
    class. Of several classes: where one is said wrong, by how much at the most its probability is
    beyond the threshold; where all are right, by how much at the least.

    Args:
        thresholds: see ``right``.
    """
    known = np.where(np.isnan(probabilities), -1.0, probabilities)
    if not are_sets(labels):
        highest: np.ndarray = known.max(axis=1)
        return highest
    each = label_scores.THRESHOLD if thresholds is None else thresholds
    margin = np.abs(known - each)
    wrong = (known >= each) != (labels > 0)
    most = np.where(wrong, margin, -1.0).max(axis=1)
    sure: np.ndarray = np.where(wrong.any(axis=1), most, margin.min(axis=1))
    return sure


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of right predictions, of at least one image."""
    return float(right(probabilities, labels).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats, of at least one image; of a probability of 0 it is 27.6. Of
    several classes it is the sum over the classes."""
    if are_sets(labels):
        return label_scores.log_loss(probabilities, labels)
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

    Args:
        labels: see ``automl_img.labels``.
        probabilities: float, shape (images, classes), finite.

    Returns:
        The area, None where no class has images inside and outside of it; and that of each class.
    """
    sets, classes = are_sets(labels), probabilities.shape[1]
    mine = labels > 0 if sets else labels[:, None] == np.arange(classes)[None, :]
    areas = label_scores.areas(mine, probabilities)
    if classes == 2 and not sets:
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
