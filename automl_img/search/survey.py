"""What a search may try, a seeded part of it, and what that costs on this machine."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data.prepare import Prepared
from automl_img.errors import SearchError, TrialFailed
from automl_img.events import Listener, Phase, Progress
from automl_img.models.backbones import family_of
from automl_img.search.arm import AT_RANDOM, AT_RANDOM_OF_SEVERAL
from automl_img.search.costs import Costs, Group, group_of, to_measure
from automl_img.search.forecast import Candidate
from automl_img.search.grid import grid
from automl_img.search.measuring import Measuring
from automl_img.search.sampler import Sampler, Suggestion, families_of, own_seed, racing
from automl_img.search.specs import PROBE_ROWS, Specs
from automl_img.search.start import probes_of, start_set
from automl_img.settings import SearchSettings
from automl_img.space.dimensions import Choice, Dimension, Int, SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.training.costs import Work
from automl_img.trials import Params

# Configurations whose cost is told; what a sampler suggests is spread like these.
_SAMPLE = 100
# After so many seconds no other configuration is measured.
_MOST_SECONDS = 240.0


@dataclass(frozen=True)
class Configuration:
    """A backbone with what of it learns, over what the space offers of it.

    Attributes:
        backbone: its name.
        learns: "from scratch", "frozen" (the head alone) or "fine-tuned".
        epoch_seconds: of the cheapest and of the dearest.
        graph_seconds: building and tracing a graph, on average.
        memory_bytes: the most that a process held that trained one; None where none was measured
            and the figures follow from other backbones.
        parameters: of each configuration of it that is in the survey, ascending.
    """

    backbone: str
    learns: str
    epoch_seconds: tuple[float, float]
    graph_seconds: float
    memory_bytes: int | None
    parameters: tuple[int, ...]


@dataclass(frozen=True)
class Survey:
    """Candidates of a search with their costs.

    Attributes:
        probes: linear probes, on their part of the images.
        start: tried first, in this order: the start set, and what the sampler suggests before it
            has heard of results.
        others: a seeded sample of the rest.
        configurations: of all of these.
        failed: (configuration, error) of what cannot be trained here.
        large: configurations whose features are too many to be kept.
    """

    probes: tuple[Candidate, ...]
    start: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    configurations: tuple[Configuration, ...]
    failed: tuple[tuple[Work, TrialFailed], ...]
    large: tuple[Work, ...]


def survey_of(
    space: SearchSpace,
    settings: SearchSettings,
    prepared: Prepared,
    specs: Specs,
    measuring: Measuring,
    listener: Listener,
) -> Survey:
    """Measure what the start set and a seeded sample of ``space`` need.

    Raises:
        SearchError: nothing can be trained.
    """
    counts = {part: len(rows) for part, rows in prepared.split.parts().items()}
    facts = DataFacts(
        counts["train"], len(prepared.class_names), prepared.image_size, prepared.channels
    )
    probes = probes_of(space)
    probe_images = _probe_images(specs) if probes else (1, 1)
    first = _first_points(space, settings, start_set(space, facts), specs.run.path / "study.db")
    others = sample(space, _SAMPLE, settings.seed)
    # With the probes the process imports TensorFlow, before a time is taken.
    asked = [specs.probe(_suggested(params)) for params in probes]
    asked += [specs.of(_suggested(params)) for params in [*first, *others]]
    phases = [tuple(measuring.work(spec)) for spec in asked]
    costs = Costs(counts["train"], max(1, counts["validation"]))
    every = [phase for each in phases[len(probes) :] for phase in each]
    _measure(costs, every, specs, measuring, listener)

    def candidates(start: int, stop: int, *images: int) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(spec.params, tuple(costs.of(phase, *images) for phase in own))
            for spec, own in zip(asked[start:stop], phases[start:stop], strict=True)
            if not any(map(costs.failure, own))
        )

    after = len(probes) + len(first)
    found = candidates(len(probes), after), candidates(after, len(asked))
    if not any(found):
        raise SearchError(
            f"no configuration of this space can be trained here: {costs.failed[0][1]}"
        )
    return Survey(
        probes=candidates(0, len(probes), *probe_images),
        start=found[0],
        others=found[1],
        configurations=_configurations(costs, every),
        failed=tuple(costs.failed),
        large=tuple(phase for phase in every if phase.feature_bytes > settings.feature_bytes),
    )


def _first_points(
    space: SearchSpace, settings: SearchSettings, start: Sequence[Params], study: Path
) -> list[Params]:
    """What the search will try first whatever comes of it, asked from its own sampler.

    Args:
        start: the start set.
        study: a file for a study that nobody needs later.
    """
    if settings.sampler == "grid":
        trials = settings.allowed.trials
        return grid(space, trials or _SAMPLE, settings.seed)
    races = bool(racing(space)) and len(settings.objectives) == 1
    most = _SAMPLE
    if settings.sampler == "tpe":
        most = AT_RANDOM_OF_SEVERAL if races else AT_RANDOM

    def study_of(params: Params) -> str:
        return family_of(str(params["backbone"])).__name__ if races else ""

    points: list[Params] = []
    about = settings.sampler, settings.seed, settings.objectives
    with closing(Sampler(study, space, *about)) as sampler:
        for point in start:
            placed = sampler.place(len(points), point, "start set")
            points += [placed.params] if placed is not None else []
        tries = Counter(map(study_of, points))
        while len(points) < _SAMPLE:
            suggestion = sampler.ask(len(points))
            if suggestion is None or tries[study_of(suggestion.params)] >= most:
                break
            points.append(suggestion.params)
            tries[study_of(suggestion.params)] += 1
    return points


def sample(space: SearchSpace, count: int, seed: int) -> list[Params]:
    """``count`` points of ``space`` at random, of each of its families equally many."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, count]))
    parts = list(families_of(space).values()) or [space]
    return [_drawn(parts[place % len(parts)], rng) for place in range(count)]


def _drawn(space: SearchSpace, rng: np.random.Generator) -> Params:
    params: Params = {}
    for dimension in space.dimensions:
        if space.active(dimension, params):
            params[dimension.name] = _value(dimension, rng)
    return params


def _value(dimension: Dimension, rng: np.random.Generator) -> Any:
    if isinstance(dimension, Choice):
        return dimension.options[int(rng.integers(len(dimension.options)))]
    # Half a step more on both sides, or the ends of whole numbers would be drawn half as often.
    half = dimension.step / 2 if isinstance(dimension, Int) and not dimension.log else 0.0
    low, high = dimension.low - half, dimension.high + half
    if dimension.log:
        return dimension.nearest(math.exp(rng.uniform(math.log(low), math.log(high))))
    return dimension.nearest(rng.uniform(low, high))


def _measure(
    costs: Costs, works: Sequence[Work], specs: Specs, measuring: Measuring, listener: Listener
) -> None:
    """Measure the most telling of ``works``, as far as the time for it goes."""
    chosen = to_measure(works)
    listener(Phase(f"measuring {len(chosen)} configurations on some steps each"))
    began = time.perf_counter()
    for done, work in enumerate(chosen):
        listener(Progress(done, len(chosen)))
        if costs.measured and time.perf_counter() - began > _MOST_SECONDS:
            return
        if costs.failure(work):
            continue
        spec = dataclasses.replace(specs.of(_suggested(work.params)), max_epochs=work.epochs)
        try:
            costs.measured.append((work, measuring.step(spec)))
        except TrialFailed as error:
            costs.failed.append((work, error))


def _configurations(costs: Costs, works: Sequence[Work]) -> tuple[Configuration, ...]:
    groups: dict[Group, list[Work]] = {}
    for work in works:
        if costs.failure(work) is None:
            groups.setdefault(group_of(work), []).append(work)
    return tuple(_configuration(costs, group, own) for group, own in sorted(groups.items()))


def _configuration(costs: Costs, group: Group, works: Sequence[Work]) -> Configuration:
    each = [costs.of(work) for work in works]
    epochs = [cost.epoch for cost in each]
    peaks = [cost.peak_bytes for work, cost in costs.measured if group_of(work) == group]
    return Configuration(
        backbone=group[0],
        learns=group[1],
        epoch_seconds=(min(epochs), max(epochs)),
        graph_seconds=float(np.mean([cost.graph for cost in each])),
        memory_bytes=max(peaks, default=None),
        parameters=tuple(sorted(work.parameters for work in works)),
    )


def _probe_images(specs: Specs) -> tuple[int, int]:
    """How many images a probe trains and validates on; their rows are written."""
    specs.write_probe_rows()
    with np.load(specs.run.path / PROBE_ROWS, allow_pickle=False) as arrays:
        return len(arrays["train"]), len(arrays["validation"])


def _suggested(params: Params) -> Suggestion:
    return Suggestion(0, params, own_seed(0, 0))
