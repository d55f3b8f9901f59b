"""Optimizers, and the learning rate of each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from automl_img.space.dimensions import Choice, Dimension, Float, Int, When
from automl_img.trials import Params

HYPERPARAMETERS: tuple[Dimension, ...] = (
    Choice("optimizer.name", ("adam", "adamw", "sgd", "rmsprop"), default="adam"),
    Float("optimizer.learning_rate", 1e-6, 1.0, default=3e-3, log=True),
    Choice("optimizer.schedule", ("cosine", "constant", "plateau"), default="cosine"),
    Int("optimizer.warmup_epochs", 0, 20, default=0),
    Float("optimizer.momentum", 0.0, 0.99, 0.9, when=(When("optimizer.name", ("sgd", "rmsprop")),)),
    Float(
        "optimizer.weight_decay",
        1e-6,
        0.5,
        default=1e-2,
        log=True,
        when=(When("optimizer.name", ("adamw",)),),
    ),
    # Batch normalisation learns nothing from a batch of one.
    Int("batch_size", 2, 4096, default=64),
    Int("early_stopping.patience", 1, 1000, default=10),
)
PLATEAU_PATIENCE = 3
PLATEAU_FACTOR = 0.3


def build_optimizer(params: Params) -> Any:
    """The Keras optimizer of ``params``, not yet with their values; see ``start_optimizer``."""
    import keras
    from keras import optimizers

    match params["optimizer.name"]:
        case "sgd":
            return optimizers.SGD(momentum=float(params["optimizer.momentum"]), nesterov=True)
        case "rmsprop":
            return optimizers.RMSprop(momentum=float(params["optimizer.momentum"]))
        case "adamw":
            optimizer = optimizers.AdamW()
            optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
            # A variable in place of the number that Keras keeps.
            optimizer.weight_decay = keras.Variable(0.0, trainable=False, name="weight_decay")
            return optimizer
        case _:
            return optimizers.Adam()


def start_optimizer(optimizer: Any, params: Params) -> None:
    """Forget all that ``optimizer``, built, has averaged, and take the values of ``params``.

    The trainer sets the rate epoch by epoch.
    """
    from keras import ops

    for variable in optimizer.variables:
        variable.assign(ops.zeros(variable.shape, variable.dtype))
    optimizer.learning_rate = float(params["optimizer.learning_rate"])
    if params["optimizer.name"] == "adamw":
        optimizer.weight_decay.assign(float(params["optimizer.weight_decay"]))


def learning_rate(
    params: Params, epoch: int, epochs: int, val_losses: Sequence[float] = ()
) -> float:
    """The rate of one epoch, the same on every backend and after a resume.

    Args:
        epoch: from 0.
        epochs: the length of the schedule.
        val_losses: of the epochs so far, for "plateau": the rate falls by ``PLATEAU_FACTOR`` each
            time that ``PLATEAU_PATIENCE`` epochs brought no lower loss.

    Warm-up rises in a straight line over the first epochs, taken at the middle of each. The cosine
    (https://arxiv.org/abs/1608.03983) starts at the full rate and ends just above zero.
    """
    rate = float(params["optimizer.learning_rate"])
    warmup = min(int(params["optimizer.warmup_epochs"]), max(epochs - 1, 0))
    if epoch < warmup:
        return rate * (epoch + 0.5) / warmup
    match params["optimizer.schedule"]:
        case "cosine":
            done = (epoch - warmup + 0.5) / max(epochs - warmup, 1)
            return rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        case "plateau":
            return rate * PLATEAU_FACTOR ** _plateaus(val_losses[warmup:])
        case _:
            return rate


def _plateaus(losses: Sequence[float]) -> int:
    """How often ``PLATEAU_PATIENCE`` epochs in a row brought no lower loss."""
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        waited += 1
        if loss < best:
            best, waited = loss, 0
        elif waited == PLATEAU_PATIENCE:
            waited, found = 0, found + 1
    return found
