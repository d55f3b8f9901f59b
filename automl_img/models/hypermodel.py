"""The image classifier as a ``keras_tuner.HyperModel``; any KerasTuner tuner drives it too."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

from automl_img.models.network import ImageFacts, training_model
from automl_img.space.dimensions import Choice, Dimension, Float, Int, SearchSpace
from automl_img.trials import Params


class ImageClassifier(keras_tuner.HyperModel):  # type: ignore[misc]
    """Builds the classifier of one point of the space."""

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
        """The compiled model of the values in ``hp``, from uint8 images of shape (batch, size,
        size, channels) to logits of shape (batch, classes)."""
        if self.space is not None:
            register(self.space.dimensions, hp)
        params = _active(self.space, dict(hp.values))
        model = training_model(params, self.facts, self.weights)
        model.start(params, self.seed)
        return model


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
