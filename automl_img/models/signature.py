"""Which compiled graph a trial needs, told from its hyperparameters alone."""

from __future__ import annotations

import hashlib
import json

from automl_img.models.augment import amounts
from automl_img.trials import Params

# What a graph reads from variables: whether there is any shapes it, how much does not.
VARIABLES = frozenset(
    (
        "head.dropout",
        "imbalance.class_weights",
        "imbalance.focal_gamma",
        "optimizer.weight_decay",
        "regularization.l1",
        "regularization.l2",
    )
)
# What the trainer does outside of the graph, or what is a variable in every graph.
OUTSIDE = frozenset(
    (
        "batch_size",
        "early_stopping.patience",
        "fine_tune.head_epochs",
        "fine_tune.rate_factor",
        "imbalance.oversampling",
        "label_smoothing",
        "optimizer.learning_rate",
        "optimizer.schedule",
        "optimizer.warmup_epochs",
    )
)


def signature(params: Params, flips: bool, channels: int) -> str:
    """16 hex digits, the same for trials that one compiled model can serve, one after the other.

    A hyperparameter that is not known here counts in full, so a new one is slow and never wrong.

    Args:
        params: every active hyperparameter.
        flips, channels: of the images; see ``automl_img.models.augment.amounts``.
    """
    shape = {
        name: bool(value) if name in VARIABLES else value
        for name, value in params.items()
        if name not in OUTSIDE and not name.startswith("augment.")
    }
    changes = [name for name, amount in amounts(params, flips, channels).items() if amount > 0]
    text = json.dumps([sorted(shape.items()), changes])
    return hashlib.blake2b(text.encode("utf-8"), digest_size=8).hexdigest()
