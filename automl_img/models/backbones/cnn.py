"""A small modern CNN from scratch.

After ResNet-9 (David Page, https://myrtle.ai/learn/how-to-train-your-resnet): few wide blocks with
short residual branches reach high accuracy in few epochs, which is what a search needs. A stem
convolution is followed by blocks; each doubles the filters, halves the resolution by max-pooling,
and adds a residual branch of the remaining convolutions.
"""

from __future__ import annotations

from typing import Any

from automl_img.models.size import Size
from automl_img.space.dimensions import Choice, Dimension, Int, When
from automl_img.trials import Params

_HERE = (When("backbone", ("cnn",)),)

VARIANTS = ("cnn",)
HYPERPARAMETERS: tuple[Dimension, ...] = (
    Int("cnn.depth", 1, 5, default=3, when=_HERE),
    Int("cnn.filters", 8, 128, default=32, log=True, when=_HERE),
    Choice("cnn.kernel_size", (3, 5), default=3, when=_HERE),
    Int("cnn.convolutions", 1, 4, default=2, when=_HERE),
    Choice("cnn.batch_normalization", (True, False), default=True, when=_HERE),
)
START: Params = {
    "backbone": "cnn",
    "cnn.depth": 3,
    "cnn.filters": 32,
    "cnn.convolutions": 2,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 3e-3,
    "batch_size": 64,
    "head.pooling": "max",
    "augment.strength": 0.25,
}
BFLOAT16_ON_CPU = True
# Below this resolution pooling stops: a 3 x 3 kernel would see mostly padding.
_SMALLEST_MAP = 4
# Larger images are brought down by the stem, or the first block costs nearly all the time.
_LARGEST_FIRST_MAP = 64


def build(variant: str, image_size: int, channels: int, params: Params, weights: str | None) -> Any:
    """See ``automl_img.models.backbones``; ``weights`` is not used, there are none."""
    import keras
    from keras import layers

    filters, depth = int(params["cnn.filters"]), int(params["cnn.depth"])
    extra = int(params["cnn.convolutions"]) - 1
    conv = _Convolutions(params)
    inputs = keras.Input((image_size, image_size, channels), name="images")
    # From [0, 255] to about zero mean and unit deviation of natural images.
    x = layers.Rescaling(1 / 64, offset=-2.0)(inputs)
    side, stride = _first_map(image_size)
    x = conv(x, filters, stride)
    for block in range(depth):
        if block > 0:
            # Pooling before the convolution costs a quarter of pooling after it.
            if side >= 2 * _SMALLEST_MAP:
                x, side = layers.MaxPooling2D()(x), side // 2
            x = conv(x, filters * 2**block)
        if extra:
            branch = x
            for _ in range(extra):
                branch = conv(branch, filters * 2**block)
            x = layers.Add()([x, branch])
    return keras.Model(inputs, x, name="backbone")


def size(variant: str, image_size: int, channels: int, params: Params) -> Size:
    """See ``automl_img.models.backbones``; follows ``build``."""
    filters, kernel = int(params["cnn.filters"]), int(params["cnn.kernel_size"])
    extra = int(params["cnn.convolutions"]) - 1
    normalize = bool(params["cnn.batch_normalization"])
    side, stride = _first_map(image_size)
    parameters, values, before = 0, image_size**2 * channels, channels
    # A stem, then a block each of which begins with a convolution to its filters.
    for block in range(int(params["cnn.depth"])):
        width, reach = filters * 2**block, kernel
        if block == 0:
            reach = max(kernel, stride + 1)
        elif side >= 2 * _SMALLEST_MAP:
            side //= 2
            values += side**2 * before
        weights = reach**2 * before + extra * kernel**2 * width
        # Four for each filter in its normalisation, else a bias.
        parameters += width * (weights + (1 + extra) * (4 if normalize else 1))
        layers = (1 + extra) * (3 if normalize else 2) + bool(extra)
        values += layers * side**2 * width
        before = width
    return Size(parameters, parameters, values)


def _first_map(image_size: int) -> tuple[int, int]:
    """The side of the stem's output, and its stride."""
    side, stride = image_size, 1
    while side > _LARGEST_FIRST_MAP:
        side, stride = (side + 1) // 2, stride * 2
    return side, stride


class _Convolutions:
    """Adds convolution, normalisation and activation."""

    def __init__(self, params: Params) -> None:
        self.kernel_size = int(params["cnn.kernel_size"])
        self.normalize = bool(params["cnn.batch_normalization"])

    def __call__(self, x: Any, filters: int, stride: int = 1) -> Any:
        from keras import layers

        from automl_img.models.device import activation_precision

        # A stride above the kernel would skip pixels altogether.
        size = max(self.kernel_size, stride + 1)
        x = layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same",
            use_bias=not self.normalize,
            kernel_initializer="he_normal",
        )(x)
        if self.normalize:
            # 0.9, not Keras's 0.99: short trials end before a slower average has settled.
            x = layers.BatchNormalization(momentum=0.9)(x)
        return layers.Activation("silu", dtype=activation_precision())(x)
