"""From the backbone's feature map to one logit a class, and the loss on these."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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


def pooling(params: Params) -> Any:
    """The layer from a feature map, shape (batch, height, width, filters), to (batch, filters)."""
    from keras import layers

    kinds = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    return kinds[str(params["head.pooling"])](name="pooling")


def build_head(
    filters: int, classes: int, params: Params, serving: bool = False, multi_label: bool = False
) -> Any:
    """A model named "head" from pooled features, shape (batch, filters), to logits, shape (batch,
    classes).

    Normalisation of the features (as for linear probes in https://arxiv.org/abs/2111.06377,
    appendix A), a hidden layer where ``head.units`` is above 0, dropout, one linear layer.

    Args:
        serving: leave out what only training needs.
        multi_label: each class is for itself: the biases start where each has a probability of
            1 / classes, as among several classes most are not there (as for focal loss,
            https://arxiv.org/abs/1708.02002, section 4.1).
    """
    import keras
    from keras import initializers, layers

    features = keras.Input((filters,), name="pooled")
    # The one linear layer learns from features of any backbone at the same pace.
    x = layers.BatchNormalization(momentum=0.9, center=False, scale=False, name="normalized")(
        features
    )
    if params["head.units"]:
        x = layers.Dense(
            params["head.units"], "relu", kernel_initializer="he_normal", name="hidden"
        )(x)
    if params["head.dropout"] and not serving:
        from automl_img.models.layers import Dropout

        x = Dropout(name="dropout")(x)
    # Small, so that training starts from even odds.
    start = initializers.RandomNormal(stddev=0.01)
    # float32 under mixed precision too: the loss needs it.
    logits = layers.Dense(
        classes,
        kernel_initializer=start,
        bias_initializer=initializers.Constant(-math.log(max(classes - 1, 1)))
        if multi_label
        else "zeros",
        dtype="float32",
        name="logits",
    )
    return keras.Model(features, logits(x), name="head")


def regularize(variables: Iterable[Any], regularizer: Any) -> None:
    """Put ``regularizer`` on every kernel among trainable ``variables``, the backbone's included.

    Biases and the scales of normalisation are left alone, as is usual.
    """
    for variable in variables:
        if variable.name.endswith("kernel"):
            variable.regularizer = regularizer


def cross_entropy(smoothing: Any, gamma: Any = None) -> Callable[[Any, Any], Any]:
    """Cross-entropy of integer labels, shape (batch,), and logits, shape (batch, classes).

    With label smoothing the true class has 1 - smoothing + smoothing / classes
    (https://arxiv.org/abs/1512.00567). With ``gamma`` it is the focal loss: the entropy of an image
    times (1 - p) ** gamma, p the probability of its class (https://arxiv.org/abs/1708.02002).

    Args:
        smoothing: a number, or a variable of Keras.
        gamma: the same; None leaves the factor out.
    """
    from keras import ops

    def loss(labels: Any, logits: Any) -> Any:
        classes = logits.shape[-1]
        right = ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes)
        target = right * (1.0 - smoothing) + smoothing / classes
        entropy = ops.categorical_crossentropy(target, logits, from_logits=True)
        if gamma is None:
            return entropy
        wrong = 1.0 - ops.sum(right * ops.softmax(logits), axis=-1)
        # At 0 the gradient of a power below 1 is infinite.
        return entropy * ops.maximum(wrong, 1e-4) ** gamma

    return loss


def binary_cross_entropy(smoothing: Any, gamma: Any = None) -> Callable[[Any, Any], Any]:
    """The sum over the classes of the binary cross-entropy of labels 0 and 1 and logits, both
    (batch, classes): each class is decided for itself.

    A sum, not Keras's mean: so its gradient is as large as that of the cross-entropy of as many
    classes, and the same rates and penalties suit both. With label smoothing a label is 1 -
    smoothing / 2 or smoothing / 2. With ``gamma`` it is the focal loss of each class, see
    ``cross_entropy``.

    Args:
        smoothing: a number, or a variable of Keras.
        gamma: the same; None leaves the factor out.
    """
    from keras import ops

    def loss(labels: Any, logits: Any) -> Any:
        right = ops.cast(labels, logits.dtype)
        target = right * (1.0 - smoothing) + smoothing / 2
        entropy = ops.binary_crossentropy(target, logits, from_logits=True)
        if gamma is not None:
            probability = ops.sigmoid(logits)
            wrong = right * (1.0 - probability) + (1.0 - right) * probability
            entropy = entropy * ops.maximum(wrong, 1e-4) ** gamma
        return ops.sum(entropy, axis=-1)

    return loss


def all_right(labels: Any, logits: Any) -> Any:
    """Whether each class of an image is said right, shape (batch,); both (batch, classes)."""
    from keras import ops

    return ops.cast(ops.all((logits >= 0) == (labels > 0), axis=-1), "float32")
