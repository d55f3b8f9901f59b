"""Class probabilities of many images, batch by batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from automl_img import metrics
from automl_img.data.batches import evaluation_batches

EVALUATION_BATCH = 128


def predict_rows(
    model: Any,
    images: Any,
    rows: Any,
    batch_size: int = EVALUATION_BATCH,
    multi_label: bool = False,
) -> np.ndarray:
    """Class probabilities, float32 of shape (rows, classes), of the given rows of ``images``.

    Args:
        model: its ``predict_on_batch`` gives logits for uint8 images, or for what else ``images``
            has.
        images: (images, ...), memory-mapped or not.
        rows: int64 (rows,).
        multi_label: whether the probability of each class is for itself.
    """
    parts = []
    for batch, count in evaluation_batches(images, rows, batch_size):
        logits = keras.ops.convert_to_numpy(model.predict_on_batch(batch))[:count]
        if multi_label:
            parts.append(_sigmoid(logits))
            continue
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts.append(shifted / shifted.sum(axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32)


def validated(
    probabilities: np.ndarray, labels: np.ndarray, objective: str
) -> dict[str, float | None]:
    """Fields of ``EpochResult`` that validation images give; None where there is no image.

    Args:
        probabilities: (images, classes).
        labels: see ``automl_img.labels``.
        objective: see ``automl_img.metrics.score``.
    """
    if not len(probabilities):
        return {"val_loss": None, "val_accuracy": None}
    found: dict[str, float | None] = {
        "val_loss": metrics.log_loss(probabilities, labels),
        "val_accuracy": metrics.accuracy(probabilities, labels),
    }
    # Numbers that are none have no order.
    if objective != "val_accuracy" and np.isfinite(probabilities).all():
        found["score"] = metrics.score(objective, probabilities, labels)
    return found


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # The exponential of what is below 0 alone cannot overflow.
    small = np.exp(-np.abs(logits))
    found: np.ndarray = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return found
