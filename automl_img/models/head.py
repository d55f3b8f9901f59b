"""From the backbone's feature map to one logit a class, and the loss on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from automl_img.space.dimensions import Choice, Dimension, Float, Int
from automl_img.trials import Params

HYPERPARAMETERS: tuple[Dimension, ...] = (
    Choice("head.pooling", ("avg", "max"), default="avg"),
    Int("head.units", 0, 2048, default=0),
    Float("head.dropout", 0.0, 0.9, default=0.1),
    Float("regularization.l2", 0.0, 0.1, default=0.0),
    Float("regularization.l1", 0.0, 0.1, default=0.0),
    Float("label_smoothing", 0.0, 0.5, default=0.0),
)


def attach(features: Any, classes: int, params: Params, seed: int) -> Any:
    """Logits, shape (batch, classes), from a feature map of shape (batch, height, width, filters).

    Global pooling, normalisation of the pooled features (as for linear probes in
    https://arxiv.org/abs/2111.06377, appendix A), a hidden layer where ``head.units`` is above 0,
    dropout, one linear layer.
    """
    from keras import initializers, layers

    pooled = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    x = pooled[str(params["head.pooling"])](name="pooling")(features)
    # The one linear layer learns from features of any backbone at the same pace.
    x = layers.BatchNormalization(momentum=0.9, center=False, scale=False, name="normalized")(x)
    if params["head.units"]:
        start = initializers.HeNormal(seed=seed)
        x = layers.Dense(params["head.units"], "relu", kernel_initializer=start, name="hidden")(x)
    if params["head.dropout"]:
        x = layers.Dropout(params["head.dropout"], seed=seed, name="dropout")(x)
    # Small, so that training starts from even odds.
    start = initializers.RandomNormal(stddev=0.01, seed=seed + 1)
    # float32 under mixed precision too: the loss needs it.
    return layers.Dense(classes, kernel_initializer=start, dtype="float32", name="logits")(x)


def regularize(model: Any, params: Params) -> None:
    """Put L1 and L2 on every trainable kernel of ``model``, the backbone's included.

    Biases and the scales of normalisation are left alone, as is usual.
    """
    from keras import regularizers

    l1, l2 = float(params["regularization.l1"]), float(params["regularization.l2"])
    for variable in model.trainable_variables:
        if variable.name.endswith("kernel"):
            variable.regularizer = regularizers.L1L2(l1, l2) if l1 or l2 else None


def cross_entropy(smoothing: float) -> Callable[[Any, Any], Any]:
    """Cross-entropy of integer labels, shape (batch,), and logits, shape (batch, classes).

    With label smoothing the true class has 1 - smoothing + smoothing / classes
    (https://arxiv.org/abs/1512.00567).
    """
    from keras import ops

    def loss(labels: Any, logits: Any) -> Any:
        classes = logits.shape[-1]
        target = ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes)
        target = target * (1.0 - smoothing) + smoothing / classes
        return ops.categorical_crossentropy(target, logits, from_logits=True)

    return loss
