"""Made-up tasks: six families; curves that cross, overfit, diverge and are noisy.

A task draws what it is like: how many images there are, how much they are like those that the
backbones were pretrained on, how well each family suits it, where the best value of each
hyperparameter lies. What a trial reaches is a product: of what its kind can reach on such data, and
of how far its hyperparameters are from the best. Networks from scratch reach more than frozen ones
where data are many and strange, and take longer for it, so that their curves cross. The numbers are
not fitted to anything; recorded curves are the judge of what these say.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from automl_img.models.hyperparameters import declared
from automl_img.models.weights import find_variant
from automl_img.search.rungs import ladder_of
from automl_img.space.dimensions import Choice, SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.space.presets import build_space, find_preset, read_preset
from automl_img.trials import Params
from simulation.tasks import Coordinates, Curve

_BACKBONES = "cnn,mobilenet_v2,efficientnet_v2_b0,resnet50,xception,vgg19"
_EPOCHS = 27
_SIDE = 96
# Seconds of an epoch of 1,000 images, all of the network trained.
_SECONDS = {
    "cnn": 4.0,
    "mobilenet_v2": 12.0,
    "efficientnet_v2_b0": 16.0,
    "resnet50": 25.0,
    "xception": 40.0,
    "vgg19": 60.0,
}
_FROZEN_SECONDS = 0.3
_FIXED = 12.0
# Points among which the best of a task is looked for.
_POINTS = 600
# Decades of the learning rate above the best one, from which a trial diverges.
_DIVERGES = 1.2
# What the validation images have in common between two trials is no noise between these.
_SHARED_NOISE = 0.5


class Synthetic:
    """A made-up task; see ``simulation.tasks.Task``."""

    max_epochs: int = _EPOCHS
    pool: list[Params] | None = None

    def __init__(self, number: int) -> None:
        """
        Args:
            number: another one is another task.
        """
        self.name = f"made up {number}"
        self.space = _space()
        rng = np.random.default_rng([7, number])
        self.chance = 1 / round(math.exp(rng.uniform(math.log(2), math.log(100))))
        # As logarithms of 10 of the images for training; then from 0 to 1.
        images = rng.uniform(2.5, 4.5)
        self.facts = DataFacts(round(10**images), round(1 / self.chance), _SIDE, 3)
        self._many, self._alike = (images - 2.5) / 2, rng.uniform()
        self._ceiling = rng.uniform(0.75, 0.99)
        self._images = 10**images / 1000
        self._noise = _SHARED_NOISE / math.sqrt(10**images / 8)
        self._suits = dict(zip(_SECONDS, rng.normal(0, 0.12, len(_SECONDS)), strict=True))
        coordinates = _coordinates()
        count = len(coordinates.names)
        # Families differ in what is good for them, and how much it matters: the one with the best
        # trial need not be the one with the best mean.
        weights = rng.exponential(0.08, count) * np.exp(rng.normal(0, 0.5, (len(_SECONDS), 1)))
        best = np.clip(0.5 + rng.normal(0, rng.uniform(0.1, 0.4), weights.shape), 0, 1)
        self._weights = dict(zip(_SECONDS, weights, strict=True))
        self._wanted = dict(zip(_SECONDS, best, strict=True))
        self._shifts = dict(zip(_SECONDS, rng.normal(0, 0.3, len(_SECONDS)), strict=True))
        # The best learning rate of each kind, as a logarithm of 10.
        shift = rng.normal(0, 0.3, 4)
        self._rates = {
            "from scratch": -2.4 + shift[0],
            "frozen": -2.6 + shift[1],
            "fine-tuned": -3.4 + shift[2],
        }
        self._sgd = 1.0 + shift[3]
        self.best, self.training = self._known()

    def curve(self, params: Params, seed: int) -> Curve:
        """The curve of a trial; ``seed`` draws its noise."""
        rng = np.random.default_rng(seed)
        worth, last = self._worth(params, float(rng.normal(0, 0.01)))
        deviation = self._noise * np.sqrt(np.maximum(worth * (1 - worth), 0.01))
        observed = np.clip(worth + rng.normal(0, 1, len(worth)) * deviation, 0, 1)
        seconds, fixed = self._cost(params)
        return Curve(tuple(observed[:last].tolist()), tuple(worth[:last].tolist()), seconds, fixed)

    def _known(self) -> tuple[float, float]:
        """The best worth among many random points, and the median seconds of a whole trial."""
        best, seconds = [], []
        for point in _random_points():
            worth, last = self._worth(point, 0.0)
            each, fixed = self._cost(point)
            best.append(max(worth[:last], default=0.0))
            seconds.append(fixed + each * _EPOCHS)
        return float(max(best)), float(np.median(seconds))

    def _worth(self, params: Params, luck: float) -> tuple[Any, int]:
        """(accuracy after each epoch, epochs until it diverges)."""
        kind, backbone = ladder_of(params), str(params["backbone"])
        trained = self._trained(params)
        lost = {
            "from scratch": 0.12 + 0.9 * (1 - self._many),
            "frozen": 0.10 + 0.8 * (1 - self._alike),
            "fine-tuned": 0.05 + 0.3 * (1 - self._alike) + 0.45 * (1 - self._many) * trained,
        }[kind]
        at = _coordinates().at(params)
        apart = np.nan_to_num(at - self._wanted[backbone], nan=0.0)
        lost = (
            max(lost + self._suits[backbone], 0.03) + float(self._weights[backbone] @ apart**2) * 4
        )
        sgd = self._sgd if params["optimizer.name"] == "sgd" else 0.0
        off = math.log10(float(params["optimizer.learning_rate"])) - self._rates[kind] - sgd
        off -= self._shifts[backbone]
        lost += 0.35 * off**2
        reached = self.chance + (self._ceiling + luck - self.chance) * math.exp(-lost)
        slowness = {"from scratch": 0.3, "frozen": 0.06, "fine-tuned": 0.14}[kind]
        slowness *= _EPOCHS * 10 ** max(-0.4 * off, -0.2)
        epochs = np.arange(1, _EPOCHS + 1)
        learnt = 1 - np.exp(-((epochs / slowness) ** (0.8 if kind == "frozen" else 1.2)))
        # What is learnt by heart is lost again, slowly, on few images without augmentation.
        heart = trained * (1 - self._many) * (1 - float(params["augment.strength"]))
        worth = self.chance + (reached - self.chance) * learnt
        worth -= 0.004 * heart * np.maximum(epochs - 2 * slowness, 0)
        last = _EPOCHS if off < _DIVERGES else max(int(4 - 3 * (off - _DIVERGES)), 0)
        return np.clip(worth, self.chance / 2, 1), last

    def _trained(self, params: Params) -> float:
        """The part of the network that is trained."""
        variant = find_variant(str(params["backbone"]))
        if variant is None:
            return 1.0
        frozen = float(params.get(f"{variant.name}.frozen_layers", 0))
        return 1 - frozen / variant.cuts[-1]

    def _cost(self, params: Params) -> tuple[float, float]:
        """Seconds of an epoch, and those beside the epochs."""
        whole = _SECONDS[str(params["backbone"])] * self._images
        if ladder_of(params) == "frozen":
            # One pass over the images, and then their features are kept.
            return _FROZEN_SECONDS * self._images, _FIXED + whole / 3
        return whole * (0.3 + 0.7 * self._trained(params)), _FIXED


@cache
def _space() -> SearchSpace:
    preset = read_preset(find_preset("everything"))
    return build_space("everything", preset, declared(), {"backbone": _BACKBONES}, {})


@cache
def _coordinates() -> Coordinates:
    """Of what counts for every family alike; the learning rate counts by itself."""
    left_out = {"backbone", "optimizer.learning_rate", "optimizer.name"}
    return Coordinates(
        [
            d
            for d in _space().dimensions
            if d.name in _space().searched - left_out and not d.name.endswith("frozen_layers")
        ]
    )


@cache
def _random_points() -> list[Params]:
    """The same for all tasks."""
    rng = np.random.default_rng(0)
    space, points = _space(), []
    for _ in range(_POINTS):
        wanted: Params = {}
        for dimension in space.dimensions:
            if isinstance(dimension, Choice):
                wanted[dimension.name] = dimension.options[rng.integers(len(dimension.options))]
            elif dimension.log:
                low, high = math.log(dimension.low), math.log(dimension.high)
                wanted[dimension.name] = math.exp(rng.uniform(low, high))
            else:
                wanted[dimension.name] = rng.uniform(dimension.low, dimension.high)
        points.append(space.nearest(wanted))
    return points
