"""The first trials: settings made by hand for data like these, the cheapest first.

Measured: a five-minute search that started from random configurations reached 0.21 to 0.31 on
CIFAR-10 (4,000 images), where one such default without any search reached 0.66.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Protocol

from automl_img.models import backbones
from automl_img.models.hyperparameters import declared
from automl_img.models.weights import find_variant
from automl_img.plugins import leaf_names, leaves
from automl_img.runs import Run
from automl_img.search.rungs import ladder_of
from automl_img.space.dimensions import Choice, SearchSpace
from automl_img.space.portfolio import DataFacts, Entry, portfolio_file, read_portfolio
from automl_img.trials import Origin, Params

# A frozen backbone is one pass over the images, after that its epochs cost next to nothing; an
# epoch of fine-tuning costs several passes.
_CHEAPEST_KIND_FIRST = ("frozen", "from scratch", "fine-tuned")
# By the time of one training step at 96 pixels on two cores.
_CHEAPEST_FIRST = (
    "cnn",
    "mobilenet",
    "efficientnet",
    "resnet",
    "inception",
    "xception",
    "vgg",
    "convnext",
)


# In the run folder.
_KEPT = "start.json"


class FirstPoints(Protocol):
    """What a search tries before it asks its sampler."""

    @property
    def probes(self) -> Sequence[Params]:
        """Linear probes of backbones, before all else."""

    def points(self, scores: Mapping[str, float]) -> Sequence[tuple[Params, Origin]]:
        """The points that follow, given the accuracy of each backbone that was probed."""


class GridPoints:
    """The points of a grid, and no other; see ``FirstPoints``."""

    probes: Sequence[Params] = ()

    def __init__(self, points: Sequence[Params]) -> None:
        self._points = points

    def points(self, scores: Mapping[str, float]) -> Sequence[tuple[Params, Origin]]:
        return [(point, "sampler") for point in self._points]


class StartPoints:
    """Points of earlier runs, then the start set; see ``FirstPoints``."""

    def __init__(self, space: SearchSpace, facts: DataFacts, warm: Sequence[Params] = ()) -> None:
        """
        Args:
            warm: valid points of ``space``.
        """
        self._space, self._facts, self._warm = space, facts, warm
        self.probes: Sequence[Params] = probes_of(space)

    def points(self, scores: Mapping[str, float]) -> Sequence[tuple[Params, Origin]]:
        made = start_set(self._space, self._facts, scores)
        warm: list[tuple[Params, Origin]] = [(point, "warm start") for point in self._warm]
        return [*warm, *((point, "start set") for point in made)]


class KeptPoints:
    """The points of another, kept in the run, so that a later session has the same whatever has
    become of earlier runs; see ``FirstPoints``."""

    def __init__(self, first: FirstPoints, run: Run) -> None:
        self._first, self._run = first, run
        # Once what follows is decided, a probe would decide nothing.
        self.probes = () if run.read_json(_KEPT) is not None else first.probes

    def points(self, scores: Mapping[str, float]) -> Sequence[tuple[Params, Origin]]:
        kept = self._run.read_json(_KEPT)
        if kept is not None:
            return [(each["params"], each["origin"]) for each in kept["points"]]
        points = self._first.points(scores)
        listed = [{"params": params, "origin": origin} for params, origin in points]
        self._run.write_json(_KEPT, {"points": listed})
        return points


def probes_of(space: SearchSpace) -> list[Params]:
    """A linear probe of each pretrained backbone in ``space`` that may be frozen as a whole: the
    point of the space nearest to one linear layer on its features, without augmentation. They come
    in the order of the space, whose presets name the cheapest first.
    """
    backbone = space["backbone"]
    names = [str(name) for name in backbone.options] if isinstance(backbone, Choice) else []
    probes = []
    for name in names:
        variant = find_variant(name)
        if variant is None or not _offers(space, name, variant.cuts[-1]):
            continue
        wanted: Params = {
            "backbone": name,
            f"{name}.frozen_layers": variant.cuts[-1],
            "fine_tune.head_epochs": 0,
            "head.units": 0,
            "head.dropout": 0.0,
            "head.pooling": "avg",
            "label_smoothing": 0.0,
            "optimizer.name": "adam",
            "optimizer.learning_rate": 3e-3,
            "optimizer.schedule": "cosine",
            "batch_size": 32,
            "augment.strength": 0.0,
        }
        probes.append(space.nearest(wanted))
    return probes


def _offers(space: SearchSpace, name: str, cut: int) -> bool:
    """Whether trials of ``space`` may freeze all of backbone ``name``, with weights."""
    weights = space["weights"]
    pretrained = isinstance(weights, Choice) and any(value != "none" for value in weights.options)
    return pretrained and space[f"{name}.frozen_layers"].contains(cut)


def start_set(
    space: SearchSpace,
    facts: DataFacts | None = None,
    scores: Mapping[str, float] | None = None,
) -> list[Params]:
    """Valid points of ``space`` to try first, all different, at least one for each of its families.

    The entries of the portfolio that fit the data, moved into the space. An entry is left out where
    the space makes another kind of training of it (frozen, from scratch, fine-tuned); a family for
    which no entry is left starts with its own ``START``. Of a family that the space offers in
    several sizes, the one with the best score is taken, else the smallest.

    The cheapest comes first: by kind, then by family, then as the portfolio has them. Where there
    are scores, the points of one kind whose backbone was scored share the places that they have
    among themselves, the best score first; a point without a score (the CNN) keeps its place.
    No score removes a point: a better extractor need not fine-tune better.

    Args:
        facts: None starts each family with its own ``START``.
        scores: validation accuracy of linear probes, by backbone; some may be missing.
    """
    entries = _entries(facts)
    scores = scores or {}
    offered = space["backbone"]
    points: list[Params] = []
    for family in sorted(leaves(backbones), key=_cost_of_family):
        names = [name for name in family.VARIANTS if offered.contains(name)]
        if isinstance(offered, Choice) and names:
            name = max(names, key=lambda each: scores.get(each, -1.0))
            points += _points(space, entries, family, name)
    points = [point for place, point in enumerate(points) if point not in points[:place]]
    points.sort(key=lambda point: _CHEAPEST_KIND_FIRST.index(ladder_of(point)))
    return _by_scores(points, scores)


def _entries(facts: DataFacts | None) -> list[Entry]:
    if facts is None:
        return []
    every = read_portfolio(portfolio_file(), declared(), leaf_names(backbones))
    return [entry for entry in every if entry.when.hold(facts)]


def _points(
    space: SearchSpace, entries: list[Entry], family: ModuleType, backbone: str
) -> list[Params]:
    """The points of one family, in the order of the portfolio."""
    variant = find_variant(backbone)
    cuts = variant.cuts if variant is not None else ()
    found = []
    for entry in entries:
        if _name(family) in entry.families:
            point = space.nearest(entry.params(backbone, cuts))
            if ladder_of(point) == entry.kind:
                found.append(point)
    return found or [space.nearest({**family.START, "backbone": backbone})]


def _by_scores(points: list[Params], scores: Mapping[str, float]) -> list[Params]:
    """``points`` with the scored ones of each kind in the order of their scores."""
    ordered = list(points)
    for kind in _CHEAPEST_KIND_FIRST:
        places = [
            place
            for place, point in enumerate(points)
            if ladder_of(point) == kind and point["backbone"] in scores
        ]
        best = sorted(places, key=lambda place: -scores[str(points[place]["backbone"])])
        for place, source in zip(places, best, strict=True):
            ordered[place] = points[source]
    return ordered


def _cost_of_family(family: ModuleType) -> tuple[int, str]:
    name = _name(family)
    place = _CHEAPEST_FIRST.index(name) if name in _CHEAPEST_FIRST else len(_CHEAPEST_FIRST)
    return place, name


def _name(family: ModuleType) -> str:
    return family.__name__.rpartition(".")[2]
