"""Several classifiers as one model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

# Below the smallest probability that makes a difference; the logarithm of 0 is no number to export.
_SMALLEST = 1e-30


def ensemble_model(
    classifiers: Sequence[keras.Model], weights: Sequence[float], multi_label: bool = False
) -> keras.Model:
    """The weighted mean of the probabilities of ``classifiers``, as a model like each of them.

    From uint8 images to logits, which are the logarithm of the mean, since the softmax of that is
    the mean itself; or where each class is for itself, of its odds, for the sigmoid. So whatever
    takes a classifier (predictions, exports) takes the ensemble too. Keras's own layers in float32;
    the weights of the members are shared, not copied.

    Args:
        classifiers: at least one, from uint8 (batch, side, side, channels), the same for all, to
            logits (batch, classes); see ``automl_img.models.network.serving_model``.
        weights: one a classifier, above 0, sum 1.
        multi_label: whether the probability of each class is for itself.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        pixels = keras.Input(classifiers[0].input_shape[1:], dtype="uint8", name="pixels")
        shares = []
        for number, (classifier, weight) in enumerate(zip(classifiers, weights, strict=True), 1):
            # All are called "classifier"; the layers of a model need names of their own.
            member = keras.Model(classifier.input, classifier.output, name=f"member_{number}")
            kind = "sigmoid" if multi_label else "softmax"
            to_probabilities = layers.Activation(kind, name=f"probabilities_{number}")
            probabilities = to_probabilities(member(pixels))
            shares.append(layers.Rescaling(float(weight), name=f"share_{number}")(probabilities))
        mean = layers.Add(name="mean")(shares) if len(shares) > 1 else shares[0]
        logits = ops.log(ops.maximum(mean, _SMALLEST))
        if multi_label:
            logits = ops.subtract(logits, ops.log(ops.maximum(1.0 - mean, _SMALLEST)))
        return keras.Model(pixels, logits, name="classifier")
    finally:
        keras.config.set_dtype_policy(policy)
