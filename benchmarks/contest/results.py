"""What all cells together say: means, paired differences, the time to a target."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contest.task import Curve

OURS, HYPERBAND = "automl-img", "KerasTuner Hyperband"
_LEVEL = 0.95
# All resamples of up to five seeds are gone through; of more, so many are drawn.
_MOST_EXACT, _RESAMPLES = 5, 10_000
LARGEST_PART = 0.2
FEWEST_SEEDS = 3
# Runs are compared where neither machine was so many times as fast as the other.
_AS_FAST = 1.25

Run = dict[str, Any]
Figures = dict[str, float | int | str | bool]


@dataclass(frozen=True)
class Difference:
    """Test accuracy of automl-img minus that of another system, seed by seed.

    Attributes:
        mean: over the seeds.
        low, high: of a 95 % bootstrap interval for the mean, over the seeds. With three seeds it
            spans all three differences: an outer one makes up a whole resample in 1 of 27.
        seeds: how many.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """ "better" and "worse" only where the interval excludes 0, of three seeds at least."""
        if self.seeds < FEWEST_SEEDS:
            return "too few seeds"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not told apart"


def latest(runs: Sequence[Run], form: str) -> dict[tuple[str, str, int], Run]:
    """The last run of each cell (system, track, seed) of ``form``."""
    return {(run["system"], run["track"], run["seed"]): run for run in runs if run["form"] == form}


def accuracies(cells: dict[tuple[str, str, int], Run], system: str, track: str) -> dict[int, float]:
    """Test accuracy by seed; a cell in which the system could not run is left out."""
    return {
        seed: run["accuracy"]
        for (name, where, seed), run in sorted(cells.items())
        if (name, where) == (system, track) and run["accuracy"] is not None
    }


def alike(one: Run, other: Run) -> bool:
    """Whether two runs had machines of the same speed, as far as that was measured."""
    speeds = [run.get("gflops") for run in (one, other)]
    known = [speed for speed in speeds if speed is not None]
    return not known if len(known) < 2 else max(known) <= _AS_FAST * min(known)


def comparable(
    cells: dict[tuple[str, str, int], Run], system: str, track: str
) -> tuple[dict[int, float], dict[int, float]]:
    """Test accuracy by seed, of automl-img and of ``system``; only where their machines were
    alike."""
    ours, theirs = (accuracies(cells, name, track) for name in (OURS, system))
    seeds = [
        seed
        for seed in ours.keys() & theirs.keys()
        if alike(cells[OURS, track, seed], cells[system, track, seed])
    ]
    return {seed: ours[seed] for seed in seeds}, {seed: theirs[seed] for seed in seeds}


def difference(ours: dict[int, float], other: dict[int, float]) -> Difference | None:
    """Over the seeds that both have; None where there is none."""
    seeds = sorted(ours.keys() & other.keys())
    if not seeds:
        return None
    values = np.array([ours[seed] - other[seed] for seed in seeds])
    if len(values) <= _MOST_EXACT:
        drawn = np.array(list(itertools.product(range(len(values)), repeat=len(values))))
    else:
        drawn = np.random.default_rng(0).integers(0, len(values), (_RESAMPLES, len(values)))
    means = values[drawn].mean(axis=1)
    # Outwards, to a mean that was drawn: between two of the few there are, nothing is known.
    low = np.quantile(means, (1 - _LEVEL) / 2, method="lower")
    high = np.quantile(means, (1 + _LEVEL) / 2, method="higher")
    return Difference(float(values.mean()), float(low), float(high), len(seeds))


def reached(curve: Curve, target: float) -> float | None:
    """Seconds until ``curve`` was at ``target`` or above; None where it never was."""
    return next((seconds for seconds, accuracy in curve if accuracy >= target), None)


def time_to_target(cells: dict[tuple[str, str, int], Run], track: str) -> Figures:
    """When automl-img had the validation accuracy with which KerasTuner's Hyperband ended.

    Both have seen the same validation images. "of its time" is the part of Hyperband's whole time,
    1 where the accuracy was never reached; what Hyperband itself took to it stands beside.
    """
    parts, words = [], []
    for (system, where, seed), theirs in sorted(cells.items()):
        ours = cells.get((OURS, track, seed))
        if (system, where) != (HYPERBAND, track) or ours is None or not theirs["curve"]:
            continue
        if not alike(ours, theirs):
            continue
        moment, target = theirs["curve"][-1]
        own = reached(ours["curve"], target)
        parts.append(1.0 if own is None else own / theirs["seconds"])
        took = "never" if own is None else f"{own:.0f}"
        words.append(f"{took} for {target:.3f}, theirs {moment:.0f}")
    if not parts:
        return {}
    return {
        f"{track}: seconds to Hyperband's last validation accuracy": "; ".join(words),
        f"{track}: that in parts of its time": round(statistics.fmean(parts), 3),
    }


def table(
    cells: dict[tuple[str, str, int], Run], track: str, systems: Sequence[str]
) -> tuple[Figures, bool]:
    """The figures of one track, and whether automl-img is better than each of ``systems``.

    Args:
        systems: the others, those that could not run among them.
    """
    figures: Figures = {}
    for system in (OURS, *systems):
        values = accuracies(cells, system, track)
        if values:
            seeds = ", ".join(f"{value:.3f}" for value in values.values())
            figures[f"{track}: {system}"] = f"{statistics.fmean(values.values()):.3f} ({seeds})"
    better = True
    for system in systems:
        found = difference(*comparable(cells, system, track))
        label = f"{track}: {OURS} - {system}"
        if found is not None:
            better &= found.verdict == "better"
            interval = f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
            seeds = "1 seed" if found.seeds == 1 else f"{found.seeds} seeds"
            figures[label] = f"{interval}, {seeds}, {found.verdict}"
        elif accuracies(cells, system, track):
            better = False
            figures[label] = "no pair on machines of the same speed"
        for (name, where, _), run in sorted(cells.items()):
            if (name, where) == (system, track) and run["accuracy"] is None:
                figures[f"{track}: {system}"] = run["error"]
    return figures | time_to_target(cells, track), better
