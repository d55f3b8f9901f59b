"""Tasks of simulated searches: how each trial would go if nobody stopped it.

A recorded task replays trials that ``benchmarks/collect.py`` ran: a point that a sampler suggests
is answered by the recorded trial nearest to it, of the same backbone and ladder where there is one.
Each hyperparameter counts in that distance by how much it mattered: the importances of a forest of
random trees (Geurts et al. 2006, https://doi.org/10.1007/s10994-006-6226-1), fitted to the best
accuracy of the recorded trials.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from automl_img.models.hyperparameters import declared
from automl_img.search.rungs import ladder_of
from automl_img.space.dimensions import Choice, Dimension, SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.space.presets import Preset, build_space
from automl_img.trials import Params

_TREES = 200
# Of all weight together; what mattered nothing breaks ties.
_LEAST_WEIGHT = 0.01

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Curve:
    """A trial that nobody stops.

    Attributes:
        observed: validation accuracy of each epoch; of a trial that fails, up to its failure.
        worth: the accuracy that the model of each epoch really has, as far as it is known: made-up
            curves know it without the noise, recorded ones are their own measure.
        seconds: of one epoch.
        fixed: seconds that the trial takes beside its epochs.
    """

    observed: tuple[float, ...]
    worth: tuple[float, ...]
    seconds: float
    fixed: float


class Task(Protocol):
    """Data, a space, and what any trial of it would give.

    Attributes:
        name: for the tables.
        facts: of the data, which decide the start set.
        best: the highest worth that is known to be possible.
        chance: accuracy without any model.
        training: seconds of one ordinary trial from end to end, the unit of time in the tables.
        pool: the points that were recorded, or None where every point has a curve of its own.
    """

    name: str
    facts: DataFacts
    space: SearchSpace
    max_epochs: int
    best: float
    chance: float
    training: float

    @property
    def pool(self) -> list[Params] | None: ...

    def curve(self, params: Params, seed: int) -> Curve:
        """The curve of a trial of ``params``; ``seed`` is the trial's own."""
        ...


class Recorded:
    """The task of a file of curves; see ``Task``."""

    def __init__(self, path: Path) -> None:
        kept = json.loads(path.read_text(encoding="utf-8"))
        self.name = path.stem
        self.facts = facts_of_file(kept)
        self.max_epochs = int(kept["epochs"])
        self.chance = 1 / kept["data"]["classes"]
        self.space = build_space(kept["space"], Preset(**kept["preset"]), declared(), {}, {})
        trials = [*kept["trials"], *kept.get("start", [])]
        self._recorded = [self.space.nearest(trial["params"]) for trial in trials]
        # Those of the start set are no random points.
        self._random = len(kept["trials"])
        self._curves = [
            Curve(
                observed=tuple(trial["val_accuracy"]),
                worth=tuple(trial["val_accuracy"]),
                seconds=trial["seconds"],
                fixed=trial["fixed"],
            )
            for trial in trials
        ]
        self.best = max(max(curve.worth, default=0.0) for curve in self._curves)
        whole = [curve.fixed + self.max_epochs * curve.seconds for curve in self._curves]
        self.training = float(np.median(whole))
        self._nearest: dict[str, int] = {}

    @property
    def pool(self) -> list[Params]:
        return self._recorded[: self._random]

    def curve(self, params: Params, seed: int) -> Curve:
        """That of the recorded trial nearest to ``params``, whatever ``seed``."""
        key = json.dumps(params, sort_keys=True)
        if key not in self._nearest:
            self._nearest[key] = self._find(params)
        return self._curves[self._nearest[key]]

    def _find(self, params: Params) -> int:
        kind = params["backbone"], ladder_of(params)
        alike = [
            [place for place, own in enumerate(self._kinds) if own == kind],
            [place for place, own in enumerate(self._kinds) if own[0] == kind[0]],
            list(range(len(self._kinds))),
        ]
        among = next(places for places in alike if places)
        apart = self._places.apart(self._places.at(params), self._points[among])
        return among[int(np.argmin(apart @ self._weights))]

    @cached_property
    def _kinds(self) -> list[tuple[Any, str]]:
        return [(point["backbone"], ladder_of(point)) for point in self._recorded]

    @cached_property
    def _places(self) -> Coordinates:
        space = self.space
        return Coordinates([d for d in space.dimensions if d.name in space.searched])

    @cached_property
    def _points(self) -> Array:
        return np.array([self._places.at(point) for point in self._recorded])

    @cached_property
    def _weights(self) -> Array:
        """One for each coordinate, of sum 1."""
        from sklearn.ensemble import ExtraTreesRegressor

        reached = [max(curve.observed, default=0.0) for curve in self._curves]
        forest = ExtraTreesRegressor(_TREES, random_state=0, n_jobs=1)
        forest.fit(np.nan_to_num(self._points, nan=-1.0), reached)
        weights = np.maximum(forest.feature_importances_, _LEAST_WEIGHT)
        found: Array = weights / weights.sum()
        return found


def facts_of_file(kept: dict[str, Any]) -> DataFacts:
    """What the data are like that a file of curves was recorded on."""
    data = kept["data"]
    return DataFacts(data["train"], data["classes"], data["size"], data["channels"])


class Coordinates:
    """Hyperparameters of a point as numbers from 0 to 1; not a number where one does not count."""

    def __init__(self, dimensions: Sequence[Dimension]) -> None:
        self._dimensions = dimensions
        self.names = [dimension.name for dimension in dimensions]
        self._unordered = np.array([_is_unordered(d) for d in self._dimensions])

    def at(self, params: Params) -> Array:
        """float64 (coordinates,)."""
        return np.array([_coordinate(d, params) for d in self._dimensions])

    def apart(self, one: Array, many: Array) -> Array:
        """How far ``one`` is from each of ``many``, float64 (points, coordinates), 0 to 1 each."""
        distances = np.abs(many - one)
        distances[:, self._unordered] = distances[:, self._unordered] > 0
        # Only one of the two has this hyperparameter.
        distances[np.isnan(many) != np.isnan(one)] = 1.0
        return np.nan_to_num(distances, nan=0.0)


def _is_unordered(dimension: Dimension) -> bool:
    return isinstance(dimension, Choice) and any(
        isinstance(option, (str, bool)) for option in dimension.options
    )


def _coordinate(dimension: Dimension, params: Params) -> float:
    if dimension.name not in params:
        return float("nan")
    value = params[dimension.name]
    if isinstance(dimension, Choice):
        return dimension.options.index(value) / max(len(dimension.options) - 1, 1)
    low, high, here = float(dimension.low), float(dimension.high), float(value)
    if dimension.log:
        low, high, here = np.log([low, high, here]).tolist()
    return (here - low) / (high - low)
