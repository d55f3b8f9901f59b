"""Compiled models, kept between the trials of one worker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from automl_img.models.network import ImageFacts, TrainingModel
from automl_img.models.signature import signature
from automl_img.training.guards import release_memory
from automl_img.training.steps import Steps
from automl_img.trials import Params

# The first step of a graph costs seconds, the second one milliseconds; but each graph holds its
# weights, and two more copies for the averages of its optimizer.
MOST = 8
# What TensorFlow holds for dropped graphs goes with that for kept ones, so not each time.
_DROPPED_AT_ONCE = 10


@dataclass(frozen=True)
class GraphKey:
    """What a compiled model was built for.

    Attributes:
        signature: see ``automl_img.models.signature``.
        facts: of the images.
        weights: file of pretrained weights with its size and time, or None.
        kept: shape of the kept features that take the place of images, or None.
        precision: policy of Keras.
    """

    signature: str
    facts: ImageFacts
    weights: str | None
    kept: tuple[int, ...] | None
    precision: str


class GraphCache:
    """The compiled models of one worker; the least recently used goes first."""

    def __init__(self, most: int = MOST) -> None:
        """
        Args:
            most: how many to keep, at least 1.
        """
        self._most = most
        self._kept: OrderedDict[GraphKey, Steps] = OrderedDict()
        self._dropped = 0

    def get(self, key: GraphKey, build: Callable[[], TrainingModel]) -> Steps:
        """The model of ``key`` with its steps, built if it is not kept; call ``start`` of the model
        before training."""
        if key not in self._kept:
            while len(self._kept) >= self._most:
                self.shrink()
            self._kept[key] = Steps(_built(key.precision, build))
        self._kept.move_to_end(key)
        return self._kept[key]

    def shrink(self) -> bool:
        """Drop the least recently used model; False if there was none."""
        if not self._kept:
            return False
        self._kept.popitem(last=False)
        self._dropped += 1
        release_memory(graphs=True, kernels=self._dropped % _DROPPED_AT_ONCE == 0)
        return True


def key_of(
    params: Params,
    facts: ImageFacts,
    weights: str | None,
    kept: tuple[int, ...] | None,
    precision: str,
) -> GraphKey:
    """The key for ``params``. On pooled features the backbone is not in the graph any more, so all
    backbones with as many features share one."""
    if kept is not None:
        inside = ("head.", "imbalance.", "optimizer.", "regularization.")
        own = {name: value for name, value in params.items() if name.startswith(inside)}
        if len(kept) > 1:
            own |= {name: value for name, value in params.items() if "backbone" in name}
            own |= {name: value for name, value in params.items() if "frozen_layers" in name}
        else:
            own.pop("head.pooling", None)
            weights = None
        params = {**own, "augment.strength": 0.0}
    shape = signature(params, facts.flips, facts.channels)
    return GraphKey(shape, facts, weights and _version(weights), kept, precision)


def _version(path: str) -> str:
    about = Path(path).stat()
    return f"{path} {about.st_size} {about.st_mtime_ns}"


def _built(precision: str, build: Callable[[], TrainingModel]) -> TrainingModel:
    """Build under the policy ``precision``, and leave that of the process as it was."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)
