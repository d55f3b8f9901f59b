"""Points of a space in rows, for ``--sampler grid`` and for spaces that are small."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from automl_img.errors import SettingsError
from automl_img.space.dimensions import SearchSpace
from automl_img.trials import Params

# Values of a range.
_POINTS = 3
LARGEST_GRID = 10_000


def grid(space: SearchSpace, budget: int, seed: int) -> list[Params]:
    """At most ``budget`` points of the grid over ``space``: all options, three values of a range.

    A budget below the size of the grid takes a seeded part of it, spread over all of it.

    Raises:
        SettingsError: the grid has more than 10,000 points.
    """
    points = list(itertools.islice(_grid(space, {}, 0, _POINTS), LARGEST_GRID + 1))
    if len(points) > LARGEST_GRID:
        raise SettingsError(
            f"a grid may have at most {LARGEST_GRID:,} points, but this space has more; "
            "fix more of it with --fix, or use --sampler random"
        )
    if len(points) <= budget:
        return points
    chosen = np.random.default_rng(seed).choice(len(points), budget, replace=False)
    return [points[place] for place in chosen.tolist()]


def every_point(space: SearchSpace) -> Iterator[Params]:
    """The points of a space without ranges of real numbers; of a very large one the first."""
    return itertools.islice(_grid(space, {}, 0, LARGEST_GRID), LARGEST_GRID)


def _grid(space: SearchSpace, params: Params, place: int, points: int) -> Iterator[Params]:
    """The points of the grid from dimension ``place`` on, below the values chosen so far.

    Args:
        points: the most values of a range.
    """
    if place == len(space.dimensions):
        yield params
        return
    dimension = space.dimensions[place]
    if not space.active(dimension, params):
        yield from _grid(space, params, place + 1, points)
        return
    for value in dimension.grid(points):
        yield from _grid(space, {**params, dimension.name: value}, place + 1, points)
