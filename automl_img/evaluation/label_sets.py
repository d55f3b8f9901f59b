"""The scores of the winner on test images that may have several classes, for ``test.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from automl_img import label_scores
from automl_img.errors import DataError
from automl_img.evaluation.curves import curves
from automl_img.evaluation.intervals import percentile_interval, wilson
from automl_img.evaluation.scores import per_class
from automl_img.labels import names as names_of
from automl_img.metrics import resampled_scores, roc_auc

_RESAMPLES = 200
# Compared with 5 and 10 on one data set alone (docs/data.md).
_FEWEST_IMAGES = 20
# Probabilities that a bootstrap may look at; where that is too few there is no interval.
_RANKED = 100_000_000


def best_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """From which probability on each class is said to be there, float32 (classes,) in [0, 1]: that
    of the highest F1, between two probabilities that were given. Classes that fewer than 20 images
    have share one, of the highest F1 over all of them: their own would follow chance. It is 0.5
    where no image has any of them.

    Sources: the best threshold for F1 is found among the given scores; Z. C. Lipton et al., Optimal
    thresholding of classifiers to maximize F1 measure, ECML PKDD 2014,
    https://arxiv.org/abs/1402.1892. Those of rare classes overfit; Y. Yang, A study of thresholding
    strategies for text categorization, SIGIR 2001, https://doi.org/10.1145/383952.383975.

    Args:
        labels: uint8 (images, classes), of images that were not trained on.
        probabilities: float (images, classes), finite.
    """
    counts = labels.sum(axis=0)
    rare = counts < _FEWEST_IMAGES
    found = np.full(labels.shape[1], label_scores.THRESHOLD, np.float32)
    if counts[rare].any():
        found[rare] = _best_threshold(labels[:, rare].ravel(), probabilities[:, rare].ravel())
    for label in np.flatnonzero(~rare).tolist():
        found[label] = _best_threshold(labels[:, label], probabilities[:, label])
    return found


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """That of the highest F1; both (images,), one of the labels at least is 1."""
    order = np.argsort(-probabilities, kind="stable")
    scores, mine = probabilities[order], labels[order] > 0
    f1 = 2 * mine.cumsum() / (np.arange(1, len(mine) + 1) + mine.sum())
    # Equal probabilities are not told apart by any threshold.
    last_of_equals = np.append(scores[1:] < scores[:-1], True)
    best = int(np.where(last_of_equals, f1, -1.0).argmax())
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    return float(scores[best] + below) / 2


def score_sets(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    thresholds: np.ndarray,
) -> dict[str, Any]:
    """Every score of one set of predictions, as plain values for JSON; names are those of
    ``automl_img.evaluation.scores`` where they mean the same.

    The accuracy is the share of images of which every class is said right. Means over classes run
    over those that images have. A score that is not defined is None, and ``undefined`` says why.
    Intervals are [low, high] at 95 %: Wilson for the accuracy, a bootstrap over the images for the
    others.

    Args:
        labels: uint8 (images, classes).
        probabilities: float (images, classes).
        class_names: names in the order of the labels.
        thresholds: see ``best_thresholds``.

    Raises:
        DataError: the shapes do not fit together, or there is no image.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if (
        labels.shape != probabilities.shape
        or labels.shape[1] != len(class_names)
        or not len(labels)
    ):
        raise DataError(
            "labels and probabilities must have the shape (images, classes) with an image and "
            f"{len(class_names)} classes, but got {labels.shape} and {probabilities.shape}"
        )
    finite = bool(np.isfinite(probabilities).all())
    right = label_scores.all_right(probabilities, labels, thresholds)
    correct = int(right.sum())
    return {
        "format": 1,
        "multi_label": True,
        "thresholds": [float(each) for each in thresholds],
        "images": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
        "accuracy_interval": wilson(correct, len(labels)),
        **_of_decisions(labels, probabilities >= thresholds),
        **_of_order(labels, probabilities if finite else None),
        **_baseline(labels, tuple(class_names)),
        "curves": curves(labels, probabilities) if finite else None,
        "classes": list(class_names),
        "per_class": _per_class(labels, probabilities, class_names, thresholds),
    }


def _of_decisions(labels: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """Scores of what is said to be there."""
    shares = label_scores.jaccard(said.astype(float), labels)
    rng = np.random.default_rng(0)
    draws = [shares[rng.integers(len(shares), size=len(shares))].mean() for _ in range(_RESAMPLES)]
    f1 = label_scores.f1_scores(said.astype(float), labels)
    hits, claimed, there = int((said & (labels > 0)).sum()), int(said.sum()), int(labels.sum())
    return {
        "jaccard": float(shares.mean()),
        "jaccard_interval": percentile_interval(np.array(draws)),
        "macro_f1": float(np.nanmean(f1)) if np.isfinite(f1).any() else None,
        "micro_f1": 2 * hits / (claimed + there) if claimed + there else None,
        "hamming_loss": float((said != (labels > 0)).mean()),
    }


def _of_order(labels: np.ndarray, probabilities: np.ndarray | None) -> dict[str, Any]:
    """Scores that need no threshold."""
    if probabilities is None:
        reason = "some probabilities are not finite numbers"
        lost = ("mean_average_precision", "roc_auc", "log_loss")
        return {**dict.fromkeys(lost), "undefined": dict.fromkeys(lost, reason)}
    area, areas = roc_auc(labels, probabilities)
    reason = "no class is on some test images and not on others"
    return {
        "mean_average_precision": label_scores.mean_average_precision(probabilities, labels),
        "mean_average_precision_interval": _interval_of_map(labels, probabilities),
        "roc_auc": area,
        "roc_auc_per_class": areas,
        "log_loss": label_scores.log_loss(probabilities, labels),
        "undefined": {"roc_auc": reason} if area is None else {},
    }


def _interval_of_map(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float] | None:
    drawn = resampled_scores("val_map", [probabilities], labels, _RESAMPLES, _RANKED)
    return None if drawn is None else percentile_interval(drawn[:, 0])


def _baseline(labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, Any]:
    """What always saying the most frequent set of classes gives."""
    sets, counts = np.unique(labels, axis=0, return_counts=True)
    most = int(counts.argmax())
    said = ", ".join(names_of(sets[most], class_names)) or "none of the classes"
    return {"baseline": float(counts[most] / len(labels)), "baseline_class": said}


def _per_class(
    labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str], thresholds: np.ndarray
) -> list[dict[str, Any]]:
    said, mine = probabilities >= thresholds, labels > 0
    support = mine.sum(axis=0)
    precisions = label_scores.average_precisions(np.nan_to_num(probabilities), labels)
    return [
        {
            **row,
            "average_precision": float(precisions[i]) if support[i] else None,
            "threshold": float(thresholds[i]),
        }
        for i, row in enumerate(
            per_class((said & mine).sum(axis=0), support, said.sum(axis=0), names)
        )
    ]
