"""Warm start: the best settings of the user's own earlier runs, those on similar data first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automl_img.errors import AutomlImgError, DataError, RunError
from automl_img.events import Listener, Notice, ignore
from automl_img.mirror.reading import read_run, runs_in
from automl_img.runs import Run
from automl_img.search.rungs import ladder_of
from automl_img.settings import SearchSettings
from automl_img.space.dimensions import Choice, Dimension, SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.trials import Params, TrialRecord

AUTO = "auto"
# Points of earlier runs; the sampler should have its turn too.
_MOST_WARM = 10
# The next run may know something else.
MOST_OF_A_RUN = 3
# Two points are too much alike to try both where no number differs by more of its range.
_ALIKE = 0.1
# What a run folder that is damaged or not ours may raise while it is read.
_UNREADABLE = (
    AutomlImgError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    TypeError,
    ValueError,
)


def resolve(names: Sequence[str], out: str) -> list[Run]:
    """The runs that ``--warm-start`` names, each once.

    Args:
        names: run folders or URLs, names of runs in ``out``, or "auto" for all in ``out`` that
            finished, the newest first; there may be none yet.

    Raises:
        RunError: a run that was named is not there.
    """
    found: dict[Path, Run] = {}
    for name in names:
        if name == AUTO:
            runs = [run for run in runs_in(out) if run.info.get("status") == "finished"]
        else:
            try:
                runs = [read_run(name, out)]
            except RunError as error:
                raise RunError(f"--warm-start must name runs or be auto, but {error}") from None
        found |= {run.path.resolve(): run for run in runs if run.path.resolve() not in found}
    return list(found.values())


def warm_points(
    settings: SearchSettings, run: Run, space: SearchSpace, goes_on: bool, listener: Listener
) -> list[Params]:
    """The best points of earlier runs, where some were named, for ``run`` in ``space``.

    Args:
        goes_on: whether the run had a session before.

    Raises:
        RunError: as ``run`` begins, one of them is not there.
    """
    try:
        runs = resolve(settings.warm_start, settings.out)
    except (RunError, DataError):
        if not goes_on:
            raise
        # They were there as the run began, which has kept their points since.
        return []
    others = [other for other in runs if _place(other) != _place(run)]
    return best_of_runs(others, run.info["data"], space, _MOST_WARM, listener)


def _place(run: Run) -> str:
    """What tells runs apart: there may be several copies of what is at a URL."""
    return run.url or str(run.path)


def facts_of(data: dict[str, Any]) -> DataFacts:
    """The facts of a run's data.

    Args:
        data: "data" of its ``run.json``; see ``automl_img.search.inputs.run_info``.
    """
    return DataFacts(
        images=int(data["splits"]["train"]),
        classes=len(data["class_names"]),
        image_size=int(data["image_size"]),
        channels=int(data["channels"]),
    )


def distance(one: DataFacts, other: DataFacts) -> float:
    """How little two data sets are alike.

    The Euclidean length of: the decades between their numbers of images, the doublings between
    their image sizes, the decades between their numbers of classes, and 1 where their channels
    differ. These four facts are a part of the meta-features that Auto-sklearn compares data sets
    by (https://papers.nips.cc/paper/5872); nothing is learnt about their weights here.
    """
    return math.hypot(
        math.log10(one.images / other.images),
        math.log2(one.image_size / other.image_size),
        math.log10(one.classes / other.classes),
        float(one.channels != other.channels),
    )


def best_of_runs(
    runs: Sequence[Run],
    data: dict[str, Any],
    space: SearchSpace,
    most: int,
    listener: Listener = ignore,
) -> list[Params]:
    """The best settings of earlier runs as valid points of ``space``, all different.

    The runs on the most similar data come first (see ``distance``; the same fingerprint is
    distance 0), among equals in the order given. Of a run come at most ``MOST_OF_A_RUN`` points:
    the best trial of each family and kind of training, the best of these first, then further
    trials by their validation accuracy; points that are nearly alike are taken once. Trials of
    backbones that the space does not offer are passed over.

    Args:
        data: "data" of this search's ``run.json``.
        most: points, at least 0.
        listener: told of each run that cannot be used, in a sentence.
    """
    read = []
    for run in runs:
        try:
            theirs = run.info["data"]
            away = distance(facts_of(theirs), facts_of(data))
            same = theirs.get("fingerprint") == data.get("fingerprint") is not None
            read.append((0.0 if same else away, _points_of(run, space)))
        except _UNREADABLE as error:
            ours = isinstance(error, AutomlImgError)
            why = str(error) if ours else "its run.json or trials.jsonl is damaged"
            listener(Notice(f"the run {run.name} is not used for the warm start: {why}"))
    chosen: list[Params] = []
    for _, points in sorted(read, key=lambda each: each[0]):
        kept = [point for point in points if not _has_like(chosen, point, space)]
        chosen += kept[:MOST_OF_A_RUN]
    return chosen[:most]


def _points_of(run: Run, space: SearchSpace) -> list[Params]:
    """Every usable trial of ``run`` as a point of ``space``: the best of each kind, then the rest,
    each by validation accuracy; no two that are nearly alike.

    Raises:
        RunError: there is none.
    """
    ranked = sorted(
        (record for record in run.trials() if record.best is not None), key=_quality, reverse=True
    )
    points: list[Params] = []
    for record in ranked:
        if space["backbone"].contains(record.params["backbone"]):
            point = space.nearest(record.params)
            space.validate(point)
            if not _has_like(points, point, space):
                points.append(point)
    if not points:
        raise RunError("none of its trials has settings for this space")
    kinds = [(point["backbone"], ladder_of(point)) for point in points]
    first = [point for place, point in enumerate(points) if kinds.index(kinds[place]) == place]
    return first + [point for point in points if point not in first]


def _quality(record: TrialRecord) -> tuple[float, float]:
    assert record.best is not None  # Left out before.
    return record.best.quality


def _has_like(points: Sequence[Params], point: Params, space: SearchSpace) -> bool:
    return any(_alike(point, other, space) for other in points)


def _alike(one: Params, other: Params, space: SearchSpace) -> bool:
    """Whether two points have the same choices, and numbers within a tenth of their ranges."""
    if one.keys() != other.keys():
        return False
    return all(apart(space[name], one[name], other[name]) <= _ALIKE for name in one)


def apart(dimension: Dimension, one: Any, other: Any) -> float:
    """The distance of two values as a share of the range of ``dimension``, in its logarithm where
    that is how it is searched; 1 for two options that differ."""
    if one == other:
        return 0.0
    if isinstance(dimension, Choice):
        return 1.0
    scale = math.log if dimension.log else float
    return abs(scale(one) - scale(other)) / (scale(dimension.high) - scale(dimension.low))
