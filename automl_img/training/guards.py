"""What ends a trial early without ending the search: divergence and lack of memory."""

from __future__ import annotations

import gc
import math
from typing import Any

import keras

from automl_img.errors import Diverged, OutOfMemory, TrialFailed

_OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError", "OutOfMemoryError", "OutOfMemory")


class DivergenceGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the epoch at the first batch whose loss is not a finite number.

    Keras gives the mean over the epoch so far, in which one such loss stays visible.
    """

    def __init__(self) -> None:
        super().__init__()
        self.diverged = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            self.diverged = True
            self.model.stop_training = True

    def check(self, epoch: int, learning_rate: float, val_loss: float | None = None) -> None:
        """
        Args:
            val_loss: shows what the last step of an epoch did, after the last training loss.

        Raises:
            Diverged: the epoch that ended saw a loss that is not finite.
        """
        if self.diverged or not math.isfinite(val_loss or 0.0):
            raise Diverged(
                f"the loss was not a finite number in epoch {epoch} (learning rate "
                f"{learning_rate:.2g}); a lower learning rate avoids it"
            )


def as_trial_failure(error: Exception) -> TrialFailed:
    """``error`` as the failure of one trial, with a reason and one line that says what happened."""
    if isinstance(error, TrialFailed):
        return error
    names = {kind.__name__ for kind in type(error).__mro__}
    lines = str(error).strip().splitlines()
    first = lines[0][:500] if lines else ""
    if names & set(_OUT_OF_MEMORY) or "out of memory" in first.lower():
        return OutOfMemory(f"not enough memory; a smaller batch_size or model avoids it ({first})")
    return TrialFailed(f"{type(error).__name__}: {first}" if first else type(error).__name__)


def release_memory() -> None:
    """Give back what a trial held, so that a worker does not grow from trial to trial.

    TensorFlow keeps every ``tf.custom_gradient`` of a graph in a global registry, 18 to 21 MB a
    trial (https://github.com/tensorflow/tensorflow/issues/97697); they are taken out by hand.
    """
    keras.backend.clear_session()
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import ops

        registry = ops.gradient_registry._registry
        for name in [name for name in registry if name.startswith("CustomGradient")]:
            del registry[name]
    gc.collect()
