"""The classifier put together: to be trained, from pixels or from kept features, and to serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from automl_img.models.augment import amounts, augmentation
from automl_img.models.backbones import family_of
from automl_img.models.head import (
    all_right,
    binary_cross_entropy,
    build_head,
    cross_entropy,
    pooling,
    regularize,
)
from automl_img.models.initialization import initialize, reseed, without_initializer
from automl_img.models.layers import L1L2, Augmentation, Dropout
from automl_img.models.optimizer import build_optimizer, start_optimizer
from automl_img.models.weights import find_variant
from automl_img.trials import Params


@dataclass(frozen=True)
class ImageFacts:
    """What a model must know about the data.

    Attributes:
        image_size: side in pixels.
        channels: 1 (grey) or 3 (RGB).
        classes: how many, at least 2.
        flips: whether a mirrored image keeps its class.
        multi_label: whether an image may have several classes, or none.
    """

    image_size: int
    channels: int
    classes: int
    flips: bool
    multi_label: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(side, side, channels)."""
        return self.image_size, self.image_size, self.channels


class TrainingModel(keras.Model):  # type: ignore[misc]
    """A compiled classifier that can be trained again from the start, without a new graph.

    Attributes:
        trained: the models whose weights a trial changes: what is not frozen of the backbone, where
            there is any, and the head.
        traces: compiled functions that were traced so far. Meaningless where a backend traces
            nothing (torch).
    """

    def __init__(self, inputs: Any, outputs: Any, trained: tuple[keras.Model, ...]) -> None:
        super().__init__(inputs, outputs, name="training")
        self.trained = trained
        self.traces = 0
        self.smoothing = keras.Variable(0.0, trainable=False, name="smoothing")
        self.l1 = keras.Variable(0.0, trainable=False, name="l1")
        self.l2 = keras.Variable(0.0, trainable=False, name="l2")
        self.gamma = keras.Variable(0.0, trainable=False, name="gamma")

    def compile_for(self, params: Params, pretrained: bool, facts: ImageFacts) -> None:
        """Give the model its loss, optimizer and regularisation, once in its life.

        Args:
            pretrained: the backbone came with weights; trials start from those.
        """
        self._facts = facts
        kept = list(self.trained[0].weights) if pretrained and len(self.trained) > 1 else []
        kept += [weight for part in self.trained for weight in without_initializer(part)]
        self._constants = [(weight, keras.ops.convert_to_numpy(weight)) for weight in kept]
        self._drawn = self.trained[-1:] if pretrained else self.trained
        l1 = self.l1 if params["regularization.l1"] else None
        l2 = self.l2 if params["regularization.l2"] else None
        if l1 is not None or l2 is not None:
            regularize(self.trainable_variables, L1L2(l1, l2))
        entropy = binary_cross_entropy if facts.multi_label else cross_entropy
        accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        if facts.multi_label:
            accuracy = keras.metrics.MeanMetricWrapper(all_right, name="accuracy")
        self.compile(
            optimizer=build_optimizer(params),
            loss=entropy(self.smoothing, self.gamma if _gamma(params) else None),
            metrics=[accuracy],
            # On CPU XLA made steps slower, and TensorFlow's affine transform is not for it: see
            # docs/benchmarks.md.
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
        )
        self.optimizer.build(self.trainable_variables)
        # Keras makes the variables of metrics when they are first used, which must not be in a
        # compiled step.
        logits = np.zeros((1, facts.classes), "float32")
        labels = logits if facts.multi_label else np.zeros(1)
        self.compute_loss(None, labels, logits)
        self.compute_metrics(None, labels, logits)

    def start(self, params: Params, seed: int) -> None:
        """Be as newly built: weights and random numbers by ``seed``, hyperparameters by ``params``,
        which must have the signature of those that the model was built for."""
        for part in self._drawn:
            initialize(part, seed)
        for weight, value in self._constants:
            weight.assign(value)
        reseed(self.variables, seed)
        start_optimizer(self.optimizer, params)
        self.smoothing.assign(float(params["label_smoothing"]))
        self.l1.assign(float(params["regularization.l1"]))
        self.l2.assign(float(params["regularization.l2"]))
        self.gamma.assign(_gamma(params))
        for layer in (*self.layers, *self.head.layers):
            if isinstance(layer, Augmentation):
                layer.set(amounts(params, self._facts.flips, self._facts.channels))
            elif isinstance(layer, Dropout):
                layer.rate.assign(float(params["head.dropout"]))
        self.stop_training = False

    @property
    def head(self) -> keras.Model:
        return self.trained[-1]

    @property
    def parameters(self) -> int:
        """Of what is in the graph of the classifier, whether it trains or is frozen."""
        whole = [layer for layer in self.layers if layer.name == "backbone"]
        parts = [*whole, self.head] if whole else list(self.trained)
        weights = [weight for part in parts for weight in part.weights]
        return sum(int(np.prod(weight.shape)) for weight in weights if weight.name != "rate")

    def state(self) -> list[Any]:
        """Every variable that training changes, in a fixed order, the optimizer's included."""
        parts = [weight for part in self.trained for weight in part.variables]
        known = {id(variable) for variable in parts}
        others = [v for v in self.non_trainable_variables if v.name.startswith("seed_generator")]
        return [*parts, *(v for v in others if id(v) not in known), *self.optimizer.variables]

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        # Python runs here while a graph is traced, and not when it is used.
        self.traces += 1
        return super().train_step(*args, **kwargs)

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        self.traces += 1
        return super().predict_step(*args, **kwargs)


def training_model(
    params: Params, facts: ImageFacts, weights: str | None, kept: tuple[int, ...] | None = None
) -> TrainingModel:
    """A model to train; call ``start`` before each trial.

    Args:
        weights: file of pretrained weights for the backbone.
        kept: shape of kept features that take the place of the images; with one number, those are
            pooled. None trains from uint8 images, augmentation and frozen part in the graph.
    """
    if kept is not None and len(kept) == 1:
        features = keras.Input(kept, dtype="float16", name="features")
        head = build_head(kept[0], facts.classes, params, multi_label=facts.multi_label)
        outputs = head(keras.layers.Rescaling(1.0, name="as_float")(features))
        model = TrainingModel(features, outputs, (head,))
    elif kept is not None:
        features = keras.Input(kept, dtype="float16", name="features")
        suffix = _backbone(params, facts, weights).get_layer("suffix")
        x = suffix(keras.layers.Rescaling(1.0, name="as_float")(features))
        model = _with_head(features, x, params, facts, (suffix,))
    else:
        pixels = keras.Input(facts.shape, dtype="uint8", name="pixels")
        x = keras.layers.Rescaling(1.0, name="as_float")(pixels)
        augment = augmentation(amounts(params, facts.flips, facts.channels))
        backbone = _backbone(params, facts, weights)
        x = backbone(x if augment is None else augment(x))
        model = _with_head(pixels, x, params, facts, _suffix_of(backbone))
    model.compile_for(params, weights is not None, facts)
    return model


def frozen_part(params: Params, facts: ImageFacts, weights: str | None) -> keras.Model:
    """From float images in [0, 255] to what the rest of the classifier needs of them.

    That is the output of the frozen part of the backbone; or where all of it is frozen, its pooled
    features, shape (batch, 2, filters): the average and the maximum.

    Args:
        params: of a trial with a frozen part.
    """
    backbone = _backbone(params, facts, weights)
    [x] = backbone.get_layer("prefix")._inbound_nodes[-1].output_tensors
    if not _suffix_of(backbone):
        pools = (keras.layers.GlobalAveragePooling2D(), keras.layers.GlobalMaxPooling2D())
        x = keras.ops.stack([pool(x) for pool in pools], axis=1)
    return keras.Model(backbone.input, x, name="frozen")


def has_frozen_part(params: Params) -> bool:
    """Whether a part of the backbone never trains."""
    return bool(params.get(f"{params['backbone']}.frozen_layers", 0))


def head_alone(params: Params) -> Params | None:
    """The hyperparameters of the first epochs of a trial in which only its head trains; None where
    it has no such epochs, or nothing else to train."""
    name = f"{params['backbone']}.frozen_layers"
    variant = find_variant(str(params["backbone"]))
    if variant is None or name not in params or not params.get("fine_tune.head_epochs", 0):
        return None
    return None if params[name] == variant.cuts[-1] else {**params, name: variant.cuts[-1]}


def serving_model(
    params: Params, facts: ImageFacts, weights: str | None, model: TrainingModel
) -> keras.Model:
    """The whole classifier, from uint8 images to logits, with the weights that ``model`` has
    learnt: Keras's own layers in float32, without augmentation and dropout.

    Args:
        params: of the whole trial; ``model`` may be that of its first epochs, of the head alone.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        pixels = keras.Input(facts.shape, dtype="uint8", name="pixels")
        backbone = _backbone(params, facts, weights)
        x = pooling(params)(backbone(keras.layers.Rescaling(1.0, name="as_float")(pixels)))
        head = build_head(x.shape[-1], facts.classes, params, serving=True)
        serving = keras.Model(pixels, head(x), name="classifier")
    finally:
        keras.config.set_dtype_policy(policy)
    # What was not trained is as it was loaded.
    targets = (*_suffix_of(backbone), head)[-len(model.trained) :]
    for target, source in zip(targets, model.trained, strict=True):
        copy_weights(source, target)
    return serving


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give ``target`` the weights of ``source``, a model of the same layers, dropout aside."""
    learnt = [weight for weight in source.weights if weight.name != "rate"]
    own = [weight for weight in target.weights if weight.name != "rate"]
    for weight, value in zip(own, learnt, strict=True):
        weight.assign(np.asarray(keras.ops.convert_to_numpy(value)))


def _gamma(params: Params) -> float:
    # Trials of earlier versions have none.
    return float(params.get("imbalance.focal_gamma", 0.0))


def _with_head(
    inputs: Any, x: Any, params: Params, facts: ImageFacts, before: tuple[keras.Model, ...]
) -> TrainingModel:
    pooled = pooling(params)(x)
    head = build_head(pooled.shape[-1], facts.classes, params, multi_label=facts.multi_label)
    return TrainingModel(inputs, head(pooled), (*before, head))


def _backbone(params: Params, facts: ImageFacts, weights: str | None) -> keras.Model:
    name = str(params["backbone"])
    return family_of(name).build(name, facts.image_size, facts.channels, params, weights)


def _suffix_of(backbone: keras.Model) -> tuple[keras.Model, ...]:
    """What of the backbone trains: its suffix, all of it, or nothing."""
    inner = {layer.name: layer for layer in backbone.layers}
    if "suffix" in inner:
        return (inner["suffix"],)
    return () if "prefix" in inner else (backbone,)
