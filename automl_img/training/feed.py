"""Batches of the pixel cache as Keras takes them."""

from __future__ import annotations

from typing import Any

import keras

from automl_img.data.batches import Batches
from automl_img.training.watchdog import WATCHDOG


class TrainingFeed(keras.utils.PyDataset):  # type: ignore[misc]
    """Training batches of one epoch.

    Items are (images, labels, weights): uint8 (batch, size, size, channels) or features, int64
    (batch,) and, where classes are weighted, float32 (batch,), the weight of each image's class.
    """

    def __init__(self, batches: Batches, epoch: int, numbers: range | None = None) -> None:
        """
        Args:
            numbers: of the batches; None takes all of the epoch.
        """
        # One thread ahead of the training step, which reads the next batch while it computes.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=4)
        self._batches = batches
        self._epoch = epoch
        self._numbers = range(len(batches)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        WATCHDOG.progress()
        images, labels = self._batches.batch(self._epoch, self._numbers[index])
        weights = self._batches.class_weights
        return (images, labels) if weights is None else (images, labels, weights[labels])
