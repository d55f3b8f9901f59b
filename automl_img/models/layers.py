"""Layers whose hyperparameters are variables, so that one compiled graph serves many trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

_GEOMETRY = {"shift", "rotation", "shear", "zoom", "crop"}
_PHOTOMETRY = {"brightness", "contrast", "saturation", "noise", "blur"}


class Augmentation(keras.layers.Layer):  # type: ignore[misc]
    """Random changes of float images in [0, 255], shape (batch, side, side, channels).

    Attributes:
        changes: names of what is changed; see ``automl_img.models.augment``.
        amounts: float32 variable, one amount a change.
    """

    def __init__(self, changes: tuple[str, ...], always: bool = False) -> None:
        """
        Args:
            always: change the images also where a model predicts.
        """
        super().__init__(name="augmentation", dtype="float32")
        self.changes = changes
        self.always = always
        self.amounts = self.add_weight(
            shape=(len(changes),), initializer="zeros", trainable=False, name="amounts"
        )
        self.generator = keras.random.SeedGenerator(0)

    def set(self, amount: Mapping[str, float]) -> None:
        """Other amounts for the same changes."""
        self.amounts.assign([amount[name] for name in self.changes])

    def call(self, images: Any, training: bool = False) -> Any:
        """Changed images, each in its own way."""
        if not (training or self.always):
            return images
        draw = Draw(self.generator, ops.shape(images)[0])
        amounts = {name: self.amounts[place] for place, name in enumerate(self.changes)}
        return change(images, amounts, draw)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout (https://jmlr.org/papers/v15/srivastava14a.html) whose rate, below 1, is the variable
    ``rate``."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        # A rate in bfloat16 would be another rate.
        self.rate = self.add_weight(
            shape=(), initializer="zeros", trainable=False, autocast=False, name="rate"
        )
        self.generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        kept = keras.random.uniform(ops.shape(inputs), seed=self.generator) >= self.rate
        scale = ops.cast(1.0 / (1.0 - self.rate), inputs.dtype)
        return ops.where(kept, inputs * scale, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class L1L2(keras.regularizers.Regularizer):  # type: ignore[misc]
    """Penalty of a weight by two variables; None costs nothing."""

    def __init__(self, l1: Any, l2: Any) -> None:
        self.l1, self.l2 = l1, l2

    def __call__(self, x: Any) -> Any:
        penalty = 0.0
        if self.l1 is not None:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2 is not None:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty


class Draw:
    """Random numbers for each image of a batch."""

    def __init__(self, generator: Any, images: Any) -> None:
        self.generator, self.images = generator, images

    def between(self, low: float, high: float) -> Any:
        """float32 (images,), evenly from [low, high)."""
        return keras.random.uniform((self.images,), low, high, seed=self.generator)

    def normal(self, shape: Any) -> Any:
        return keras.random.normal(shape, seed=self.generator)


def change(images: Any, amount: Mapping[str, Any], draw: Draw) -> Any:
    """Geometry comes first and cut-out last, so that the hole keeps its edges. Empty borders are
    filled by reflection.

    Args:
        amount: scalar tensors by name, of the changes that there are.
    """
    for name, axis in (("horizontal_flip", 2), ("vertical_flip", 1)):
        if name in amount:
            mirrored = draw.between(0.0, 1.0) < 0.5
            images = ops.where(_each(mirrored), ops.flip(images, axis=axis), images)
    if _GEOMETRY & amount.keys():
        transforms = _affine(images.shape[1], amount, draw)
        images = ops.image.affine_transform(
            images, transforms, fill_mode="reflect", data_format="channels_last"
        )
    if _PHOTOMETRY & amount.keys():
        images = ops.clip(_photometry(images, amount, draw), 0.0, 255.0)
    return _with_hole(images, amount["cutout"], draw) if "cutout" in amount else images


def _affine(side: int, amount: Mapping[str, Any], draw: Draw) -> Any:
    """(images, 8): where each pixel of the result is taken from, as Keras wants it.

    A random crop is a zoom into the image by up to ``crop`` and a shift that stays inside.
    """
    zero = ops.zeros((draw.images,))

    def either_way(name: str) -> Any:
        return draw.between(-1.0, 1.0) * amount[name] if name in amount else zero

    scale = 1.0 + either_way("zoom")
    right, down = either_way("shift"), either_way("shift")
    if "crop" in amount:
        window = 1.0 - draw.between(0.0, 1.0) * amount["crop"]
        room = (1.0 - window) / 2
        right = right + draw.between(-1.0, 1.0) * room
        down = down + draw.between(-1.0, 1.0) * room
        scale = scale * window
    angle = either_way("rotation") * (2 * math.pi)
    cos, sin = ops.cos(angle) * scale, ops.sin(angle) * scale
    shear_x, shear_y = either_way("shear"), either_way("shear")
    # Rotation and zoom, after the shear.
    xx, xy = cos - sin * shear_y, cos * shear_x - sin
    yx, yy = sin + cos * shear_y, sin * shear_x + cos
    middle = (side - 1) / 2
    x0 = middle - middle * (xx + xy) + right * side
    y0 = middle - middle * (yx + yy) + down * side
    return ops.stack([xx, xy, x0, yx, yy, y0, zero, zero], axis=1)


def _photometry(images: Any, amount: Mapping[str, Any], draw: Draw) -> Any:
    def around_one(name: str) -> Any:
        return _each(1.0 + draw.between(-1.0, 1.0) * amount[name])

    if "brightness" in amount:
        images = images + _each(draw.between(-1.0, 1.0) * amount["brightness"] * 255.0)
    if "contrast" in amount:
        mean = ops.mean(images, axis=(1, 2), keepdims=True)
        images = mean + (images - mean) * around_one("contrast")
    if "saturation" in amount:
        grey = ops.mean(images, axis=3, keepdims=True)
        images = grey + (images - grey) * around_one("saturation")
    if "blur" in amount:
        blurred = _each(draw.between(0.0, 1.0) < amount["blur"])
        images = ops.where(blurred, _blur(images), images)
    if "noise" in amount:
        images = images + draw.normal(ops.shape(images)) * amount["noise"] * 255.0
    return images


def _blur(images: Any) -> Any:
    """A Gaussian of deviation 1 over 3 x 3 pixels."""
    bell = np.exp([-0.5, 0.0, -0.5])
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    each = np.repeat(kernel[:, :, None, None], images.shape[3], axis=2).astype("float32")
    bordered = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    return ops.depthwise_conv(bordered, each, data_format="channels_last")


def _with_hole(images: Any, most: Any, draw: Draw) -> Any:
    """A grey square in each image, its area drawn from up to ``most`` squared of the image
    (https://arxiv.org/abs/1708.04552)."""
    side = images.shape[1]
    half = ops.sqrt(draw.between(0.0, 1.0)) * most * side / 2
    x, y = draw.between(0.0, float(side)), draw.between(0.0, float(side))
    pixels = ops.arange(side, dtype="float32") + 0.5
    across = ops.abs(pixels[None, :] - x[:, None]) < half[:, None]
    along = ops.abs(pixels[None, :] - y[:, None]) < half[:, None]
    hole = ops.logical_and(along[:, :, None], across[:, None, :])[..., None]
    return ops.where(hole, 127.5, images)


def _each(values: Any) -> Any:
    """(images,) as (images, 1, 1, 1)."""
    return ops.reshape(values, (-1, 1, 1, 1))
