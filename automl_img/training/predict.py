"""Class probabilities of many images, batch by batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from automl_img.data.batches import evaluation_batches

EVALUATION_BATCH = 128


def predict_rows(
    model: Any, images: Any, rows: Any, batch_size: int = EVALUATION_BATCH
) -> np.ndarray:
    """Class probabilities, float32 of shape (rows, classes), of the given rows of ``images``.

    Args:
        model: its ``predict_on_batch`` gives logits for uint8 images, or for what else ``images``
            has.
        images: (images, ...), memory-mapped or not.
        rows: int64 (rows,).
    """
    parts = []
    for batch, count in evaluation_batches(images, rows, batch_size):
        logits = keras.ops.convert_to_numpy(model.predict_on_batch(batch))[:count]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts.append(shifted / shifted.sum(axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32)


def loss_and_accuracy(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[float | None, float | None]:
    """(mean cross-entropy in nats, share of right predictions); None where there is no image.

    Args:
        probabilities: (images, classes).
        labels: int64 (images,).
    """
    if not len(probabilities):
        return None, None
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = float(-np.log(np.maximum(chosen, 1e-12)).mean())
    return loss, float((probabilities.argmax(axis=1) == labels).mean())
