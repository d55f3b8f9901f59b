"""The scores of the winner on the test images, for ``test.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from automl_img.errors import DataError
from automl_img.evaluation.calibration import calibration
from automl_img.evaluation.curves import curves
from automl_img.evaluation.intervals import percentile_interval, resampled_macro, wilson
from automl_img.metrics import macro_f1, macro_recall, roc_auc, top_k

MOST_IN_FULL = 200


def score(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Every score of one set of predictions, as plain values for JSON.

    Macro means run over the classes that have images. A score that is not defined is None, and
    ``undefined`` says why. Intervals are [low, high] at 95 %: Wilson for proportions, a bootstrap
    over the images for macro means. ``confusion`` is a list of rows, true by predicted; over 200
    classes it is None and ``confusion_cells`` lists [true, predicted, images] instead.

    Args:
        labels: int, shape (images,): classes, some of which may be missing.
        probabilities: float, shape (images, classes): rows sum to 1.
        class_names: names in the order of the labels.

    Raises:
        DataError: the shapes do not fit together, or there is no image.
    """
    labels = np.asarray(labels, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _check(labels, probabilities, class_names)
    finite = bool(np.isfinite(probabilities).all())
    predicted = np.where(np.isnan(probabilities), -np.inf, probabilities).argmax(axis=1)
    confusion = _confusion(labels, predicted, len(class_names))
    return {
        "format": 1,
        **_accuracy(labels, predicted),
        **_macro(confusion),
        **_of_probabilities(labels, predicted, probabilities if finite else None, len(class_names)),
        **_baseline(confusion, class_names),
        "curves": curves(labels, probabilities) if finite else None,
        "classes": list(class_names),
        **_cells(confusion),
        "per_class": _per_class(confusion, class_names),
    }


def _check(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> None:
    if probabilities.shape != (len(labels), len(names)):
        raise DataError(
            "probabilities must have the shape (images, classes) = "
            f"{(len(labels), len(names))}, but got {probabilities.shape}"
        )
    if len(labels) == 0:
        raise DataError("scores need at least one image, but got none")
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"labels must be in 0..{len(names) - 1}, but got {labels.min()}..{labels.max()}"
        )


def _confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    flat = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def _cells(confusion: np.ndarray) -> dict[str, Any]:
    """The matrix; with many classes, where nearly all of it is 0, its other cells only."""
    if len(confusion) <= MOST_IN_FULL:
        return {"confusion": confusion.tolist(), "confusion_cells": None}
    true, predicted = np.nonzero(confusion)
    cells = np.column_stack([true, predicted, confusion[true, predicted]])
    return {"confusion": None, "confusion_cells": cells.tolist()}


def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    correct = int((labels == predicted).sum())
    return {
        "images": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
        "accuracy_interval": wilson(correct, len(labels)),
    }


def _macro(confusion: np.ndarray, seed: int = 0) -> dict[str, Any]:
    hits, support, claimed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = support > 0
    precision = np.divide(hits, claimed, out=np.zeros(len(hits)), where=claimed > 0)
    draws = resampled_macro(confusion, seed)
    return {
        "balanced_accuracy": float(macro_recall(hits, support)),
        "balanced_accuracy_interval": percentile_interval(draws[:, 0]),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(macro_recall(hits, support)),
        "macro_f1": float(macro_f1(hits, support, claimed)),
        "macro_f1_interval": percentile_interval(draws[:, 1]),
    }


def _of_probabilities(
    labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray | None, classes: int
) -> dict[str, Any]:
    from sklearn.metrics import log_loss, matthews_corrcoef

    values: dict[str, Any] = dict.fromkeys(
        ["roc_auc", "roc_auc_per_class", "log_loss", "top_k", "k", "mcc", "calibration"]
    )
    undefined: dict[str, str] = {}
    if len(np.unique(labels)) > 1:
        values["mcc"] = float(matthews_corrcoef(labels, predicted))
    else:
        undefined["mcc"] = "all test images are of one class"
    if probabilities is None:
        reason = "some probabilities are not finite numbers"
        lost = ("roc_auc", "log_loss", "top_k", "calibration")
        return {**values, "undefined": {**undefined, **dict.fromkeys(lost, reason)}}
    values["roc_auc"], values["roc_auc_per_class"] = roc_auc(labels, probabilities)
    if values["roc_auc"] is None:
        undefined["roc_auc"] = "all test images are of one class"
    if classes > 1:
        clipped = np.clip(probabilities, 1e-15, None)
        rows = clipped / clipped.sum(axis=1, keepdims=True)
        values["log_loss"] = float(log_loss(labels, rows, labels=list(range(classes))))
    else:
        undefined["log_loss"] = "there is one class only"
    if classes > 3:
        values["k"] = 5 if classes > 10 else 3
        values["top_k"] = top_k(labels, probabilities, values["k"])
    else:
        undefined["top_k"] = f"with {classes} classes it would say nothing"
    confidence = probabilities[np.arange(len(labels)), predicted]
    values["calibration"] = calibration(confidence, labels == predicted, seed=0)
    return {**values, "undefined": undefined}


def _baseline(confusion: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    support = confusion.sum(axis=1)
    most = int(support.argmax())
    return {"baseline": float(support[most] / support.sum()), "baseline_class": names[most]}


def _per_class(confusion: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    return per_class(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0), names)


def per_class(
    hits: np.ndarray, support: np.ndarray, claimed: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class, None where they are not defined.

    Args:
        hits, support, claimed: int (classes,): images that have a class and are said to, that have
            it, and that are said to have it.
    """
    rows = []
    for i, name in enumerate(names):
        low, high = wilson(int(hits[i]), int(support[i])) or (None, None)
        rows.append(
            {
                "name": name,
                "support": int(support[i]),
                "precision": float(hits[i] / claimed[i]) if claimed[i] else None,
                "recall": float(hits[i] / support[i]) if support[i] else None,
                "f1": float(2 * hits[i] / (support[i] + claimed[i])) if support[i] else None,
                "recall_low": low,
                "recall_high": high,
            }
        )
    return rows
