"""What ends a trial early without ending the search: divergence and lack of memory."""

from __future__ import annotations

import gc
import math

import keras

from automl_img.errors import DiskFull, Diverged, OutOfMemory, TrialFailed
from automl_img.files import disk_is_full

_OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError", "OutOfMemoryError", "OutOfMemory")


def check_finite(loss: float, epoch: int, learning_rate: float) -> None:
    """
    Args:
        loss: a mean, in which one loss that is not finite stays visible.
        epoch: from 1.

    Raises:
        Diverged: the loss is not a finite number.
    """
    if not math.isfinite(loss):
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
    if disk_is_full(error):
        return DiskFull(f"the disk is full ({first})")
    if names & set(_OUT_OF_MEMORY) or "out of memory" in first.lower():
        return OutOfMemory(f"not enough memory; a smaller batch_size or model avoids it ({first})")
    return TrialFailed(f"{type(error).__name__}: {first}" if first else type(error).__name__)


def release_memory(graphs: bool = False, kernels: bool = False) -> None:
    """Give back what nobody holds any more, so that a worker does not grow from trial to trial.

    TensorFlow keeps every ``tf.custom_gradient`` of a graph in a global registry, 18 to 21 MB a
    trial (https://github.com/tensorflow/tensorflow/issues/97697); they are taken out by hand. They
    serve only while a graph is traced, so graphs that are kept do not miss them.

    Args:
        graphs: look among what was there at earlier calls too, as when a kept graph was dropped.
            Otherwise that is passed over: looking through all of TensorFlow takes 0.2 to 0.4 s.
        kernels: also forget what TensorFlow made to run each graph, of those that are gone too,
            0.6 MB a graph. The next step of each graph that is kept takes seconds then.
    """
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.eager import context
        from tensorflow.python.framework import ops

        if kernels:
            context.context().clear_kernel_cache()
        registry = ops.gradient_registry._registry
        for name in [name for name in registry if name.startswith("CustomGradient")]:
            del registry[name]
    if graphs:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
