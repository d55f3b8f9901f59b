"""The image classifier as a ``keras_tuner.HyperModel``; any KerasTuner tuner drives it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner

from automl_img.models import backbones
from automl_img.models.augment import amounts, augmentation
from automl_img.models.head import attach, cross_entropy, regularize
from automl_img.models.optimizer import build_optimizer
from automl_img.plugins import leaves
from automl_img.space.dimensions import Choice, Dimension, Float, Int, SearchSpace
from automl_img.trials import Params


@dataclass(frozen=True)
class ImageFacts:
    """What a model must know about the data.

    Attributes:
        image_size: side in pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: how many, at least 2.
        flips: whether a mirrored image keeps its class.
    """

    image_size: int
    channels: int
    classes: int
    flips: bool


class ImageClassifier(keras_tuner.HyperModel):  # type: ignore[misc]
    """Builds and compiles the classifier of one point of the space.

    The model takes uint8 images of shape (batch, size, size, channels) and gives logits of shape
    (batch, classes). It is augmentation, then a layer named "classifier", which holds everything
    that is exported: preprocessing, backbone, head.
    """

    def __init__(
        self,
        facts: ImageFacts,
        space: SearchSpace | None = None,
        weights: str | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            space: registered in the hyperparameters before building, for tuners of KerasTuner; None
                where the hyperparameters come with their values, from ``bind``.
            weights: file of pretrained weights for the backbone.
            seed: of initial weights, dropout and augmentation.
        """
        super().__init__(name="image_classifier")
        self.facts = facts
        self.space = space
        self.weights = weights
        self.seed = seed

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model of the values in ``hp``."""
        if self.space is not None:
            register(self.space.dimensions, hp)
        params = _active(self.space, dict(hp.values))
        keras.utils.set_random_seed(self.seed)
        model = self._assemble(params)
        compile_model(model, params)
        return model

    def _assemble(self, params: Params) -> keras.Model:
        facts, name = self.facts, str(params["backbone"])
        family = next(leaf for leaf in leaves(backbones) if name in leaf.VARIANTS)
        backbone = family.build(
            name, facts.image_size, facts.channels, params, self.weights, self.seed
        )
        shape = (facts.image_size, facts.image_size, facts.channels)
        images = keras.Input(shape, name="images")
        logits = attach(backbone(images), facts.classes, params, self.seed)
        classifier = keras.Model(images, logits, name="classifier")

        pixels = keras.Input(shape, dtype="uint8", name="pixels")
        x = keras.layers.Rescaling(1.0, name="as_float")(pixels)
        augment = augmentation(amounts(params, facts.flips, facts.channels), self.seed)
        if augment is not None:
            x = augment(x)
        return keras.Model(pixels, classifier(x), name="trained")


def compile_model(model: keras.Model, params: Params) -> None:
    """Give ``model`` a new optimizer, its loss and its regularisation, as ``params`` ask."""
    regularize(model, params)
    model.compile(
        optimizer=build_optimizer(params),
        loss=cross_entropy(float(params["label_smoothing"])),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # XLA adds to the time of tracing; where it pays is for a benchmark to say.
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )


def set_backbone_trainable(model: keras.Model, trainable: bool) -> None:
    """Freeze all of the backbone, or free what ``frozen_layers`` leaves; compile afterwards."""
    if trains_backbone(model):
        model.get_layer("classifier").get_layer("backbone").get_layer(
            "suffix"
        ).trainable = trainable


def trains_backbone(model: keras.Model) -> bool:
    """Whether a pretrained backbone has a part that ``frozen_layers`` leaves free."""
    backbone = model.get_layer("classifier").get_layer("backbone")
    return any(layer.name == "suffix" for layer in backbone.layers)


def bind(params: Params) -> keras_tuner.HyperParameters:
    """``params``, already validated, as hyperparameters with their values set."""
    hp = keras_tuner.HyperParameters()
    for name, value in params.items():
        hp.Fixed(name, value)
    return hp


def register(dimensions: tuple[Dimension, ...], hp: keras_tuner.HyperParameters) -> None:
    """Tell KerasTuner about every dimension, with its bounds; bounds are inclusive there too."""
    for dimension in dimensions:
        match dimension:
            case Choice() if dimension.single:
                hp.Fixed(dimension.name, dimension.options[0])
            # A Choice of KerasTuner would make them 0 and 1.
            case Choice(options=(bool(), bool())):
                hp.Boolean(dimension.name, default=bool(dimension.default))
            case Choice():
                hp.Choice(dimension.name, list(dimension.options), default=dimension.default)
            case Float():
                sampling = "log" if dimension.log else "linear"
                hp.Float(dimension.name, dimension.low, dimension.high, sampling=sampling)
            case Int(log=True):
                hp.Int(dimension.name, dimension.low, dimension.high, sampling="log")
            case Int():
                hp.Int(dimension.name, dimension.low, dimension.high, step=dimension.step)


def _active(space: SearchSpace | None, values: dict[str, Any]) -> Params:
    """The values that count: KerasTuner also fills in those of inactive branches."""
    if space is None:
        return values
    params: Params = {}
    for dimension in space.dimensions:
        if space.active(dimension, params):
            params[dimension.name] = values[dimension.name]
    return params
