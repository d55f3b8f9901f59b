"""What the families of ``keras.applications`` share: preprocessing, weights, freezing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from automl_img.errors import WeightsError
from automl_img.models.freezing import split
from automl_img.models.size import Size
from automl_img.space.dimensions import Choice, Dimension, Float, Int, When
from automl_img.trials import Params

_PRETRAINED = When("weights", ("none",), negate=True)

HYPERPARAMETERS: tuple[Dimension, ...] = (
    Choice(
        "weights",
        ("imagenet", "none"),
        default="imagenet",
        when=(When("backbone", ("cnn",), negate=True),),
        files=True,
    ),
    Int("fine_tune.head_epochs", 0, 100, default=0, when=(_PRETRAINED,)),
    Float(
        "fine_tune.rate_factor",
        1e-3,
        1.0,
        default=0.1,
        log=True,
        when=(_PRETRAINED, When("fine_tune.head_epochs", (0,), negate=True)),
    ),
)
# Of averages in batch normalisation, as in the networks from scratch.
_MOMENTUM = 0.9
# Of the values that layers give.
_MEASURED_SIDE = 224
# ImageNet's mean by channel, blue first, as the weights that Caffe trained expect.
_CAFFE_MEANS = (103.939, 116.779, 123.68)


@dataclass(frozen=True)
class Variant:
    """One network of ``keras.applications``.

    Attributes:
        name: what ``backbone`` is set to.
        application: the function in ``keras.applications``.
        weights_file: its ImageNet weights without the top, as Keras names the file.
        preprocessing: "caffe" (blue first, means taken off), "unit" ([-1, 1]) or "inside" (the
            network scales [0, 255] itself).
        minimum: the smallest side in pixels that it takes; smaller images are enlarged.
        cuts: where it may be frozen: the valid cuts at its stage ends, as counts of layers from the
            input, the whole of it last.
        learns: millions of parameters, and of values that layers give for an image of 224 pixels,
            of all layers, then of those behind each cut but the last.
    """

    name: str
    application: str
    weights_file: str
    preprocessing: Literal["caffe", "unit", "inside"]
    minimum: int
    cuts: tuple[int, ...]
    learns: tuple[tuple[float, float], ...]


class Family:
    """The parts of a backbone plug-in (see ``automl_img.models.backbones``) for its variants."""

    def __init__(self, *variants: Variant) -> None:
        self.variants = {variant.name: variant for variant in variants}
        self.names = tuple(self.variants)
        self.hyperparameters: tuple[Dimension, ...] = tuple(
            Choice(
                f"{name}.frozen_layers",
                (0, *variant.cuts),
                default=variant.cuts[-1],
                when=(When("backbone", (name,)), _PRETRAINED),
            )
            for name, variant in self.variants.items()
        )
        # All frozen: the cheapest that a pretrained network can be asked, and hard to get wrong.
        self.start: Params = {
            "backbone": self.names[0],
            "optimizer.name": "adam",
            "optimizer.learning_rate": 1e-3,
            "batch_size": 32,
            "head.dropout": 0.2,
        }

    def build(
        self,
        name: str,
        image_size: int,
        channels: int,
        params: Params,
        weights: str | None,
    ) -> Any:
        """See ``automl_img.models.backbones``.

        Args:
            weights: file with the weights of the network without its top; None starts at random.

        Raises:
            WeightsError: the file does not fit the network.
        """
        import keras

        variant = self.variants[name]
        side = max(image_size, variant.minimum)
        network = application(variant, side)
        if weights is not None:
            load_weights(network, Path(weights), name)
        _settle_quickly(network)
        frozen = int(params.get(f"{name}.frozen_layers", 0))
        prefix, suffix = split(network, frozen)
        inputs = keras.Input((image_size, image_size, channels), name="images")
        x = preprocess(inputs, variant, side)
        x = prefix(x) if prefix is not None else x
        x = suffix(x) if suffix is not None else x
        return keras.Model(inputs, x, name="backbone")

    def size(self, name: str, image_size: int, channels: int, params: Params) -> Size:
        """See ``automl_img.models.backbones``; what a layer gives grows with the pixels."""
        variant = self.variants[name]
        frozen = int(params.get(f"{name}.frozen_layers", 0))
        learns = dict(zip((0, *variant.cuts), (*variant.learns, (0.0, 0.0)), strict=True))
        learnt, values = learns[frozen]
        pixels = (max(image_size, variant.minimum) / _MEASURED_SIDE) ** 2
        return Size(round(1e6 * learns[0][0]), round(1e6 * learnt), round(1e6 * values * pixels))


def application(variant: Variant, side: int) -> Any:
    """The network of ``variant`` without its top, at random, for RGB images of ``side`` pixels."""
    import keras

    build = getattr(keras.applications, variant.application)
    return build(weights=None, include_top=False, input_shape=(side, side, 3))


def _settle_quickly(network: Any) -> None:
    """Have the averages of batch normalisation follow within some ten steps, where it is trained.

    Keras's momentum of 0.99 or 0.999 is for the many steps of ImageNet: fine-tuned on 2,300 images,
    MobileNetV3 was still validated by statistics of the weights that it began with, and looked like
    chance for its first eight epochs.
    """
    from keras import layers

    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = _MOMENTUM


def preprocess(images: Any, variant: Variant, side: int) -> Any:
    """Images in [0, 255], RGB or grey, as ``variant`` expects them, ``side`` pixels a side."""
    from keras import layers, ops

    if images.shape[-1] == 1:
        images = layers.Concatenate(name="grey_to_rgb")([images] * 3)
    if images.shape[1] != side:
        images = layers.Resizing(side, side, name="enlarged")(images)
    match variant.preprocessing:
        case "caffe":
            blue_first = ops.flip(images, axis=-1)
            offsets = [-mean for mean in _CAFFE_MEANS]
            return layers.Rescaling([1.0, 1.0, 1.0], offset=offsets, name="caffe")(blue_first)
        case "unit":
            return layers.Rescaling(1 / 127.5, offset=-1.0, name="unit")(images)
        case _:
            return images


def load_weights(network: Any, path: Path, name: str) -> None:
    """Load the weights in ``path`` into ``network``, the backbone ``name`` without its top.

    Raises:
        WeightsError: the file does not fit, or is no weights file.
    """
    try:
        # Of weights that do not fit, Keras warns for each layer before it raises.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.load_weights(path)
    except Exception as error:  # Whatever Keras stumbles on in a strange file.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise WeightsError(
            f"the weights in {path} must be those of {name} without its top; "
            f"Keras says: {lines[0][:300]}"
        ) from None
