"""The compiled steps of a model, without what ``fit`` does around them.

On TensorFlow a step is traced once, for batches of any size, and called in a plain loop. ``fit`` on
a ``PyDataset`` makes a data set of TensorFlow's out of it for each epoch, which takes as long as 40
small steps and is never given back: the default graph keeps each generator (``script_ops.py``,
``_py_funcs_used_in_graph``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from automl_img.data.batches import Batches
from automl_img.models.network import TrainingModel
from automl_img.training.feed import TrainingFeed
from automl_img.training.watchdog import WATCHDOG

# Batches that are fetched while a step computes.
_AHEAD = 2


class Steps:
    """Trains a compiled model on batches, and predicts with it.

    Attributes:
        model: see ``TrainingModel``.
    """

    def __init__(self, model: TrainingModel) -> None:
        self.model = model
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def train(self, batches: Batches, epoch: int, numbers: range) -> tuple[float, float]:
        """Mean loss and accuracy over the batches ``numbers`` of ``epoch``."""
        feed = TrainingFeed(batches, epoch, numbers)
        if keras.backend.backend() != "tensorflow":
            history = self.model.fit(feed, shuffle=False, verbose=0).history
            return history["loss"][-1], history["accuracy"][-1]
        self.model.reset_metrics()
        for batch in _ahead(feed):
            self._step("train", batch)(*batch)
        means = self.model.get_metrics_result()
        return float(means["loss"]), float(means["accuracy"])

    def predict_on_batch(self, batch: np.ndarray) -> Any:
        """Logits, shape (batch, classes), of images or features."""
        WATCHDOG.progress()
        if keras.backend.backend() != "tensorflow":
            return self.model.predict_on_batch(batch)
        return self._step("predict", (batch,))(batch)

    def _step(self, kind: str, example: tuple[np.ndarray, ...]) -> Callable[..., Any]:
        """The compiled step for arrays like ``example``, whatever their number of images."""
        key = (kind, *((array.dtype.str, array.shape[1:]) for array in example))
        if key not in self._compiled:
            import tensorflow as tf

            run = self.model.train_step if kind == "train" else self.model.predict_step
            like = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in example]
            self._compiled[key] = tf.function(
                lambda *arrays: run(arrays),
                input_signature=like,
                autograph=False,
                jit_compile=bool(self.model.jit_compile),
            )
        return self._compiled[key]


def _ahead(feed: TrainingFeed) -> Iterator[tuple[np.ndarray, ...]]:
    """The items of ``feed`` in order, the next ones fetched by a thread meanwhile."""
    coming: deque[Future[tuple[np.ndarray, ...]]] = deque()
    thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
    try:
        for number in range(len(feed)):
            coming.append(thread.submit(feed.__getitem__, number))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        # Not waited for, as in ``automl_img.data.origins.read_ahead``.
        thread.shutdown(wait=False, cancel_futures=True)
