"""What a search costs beyond training, against bare `model.fit`, Ray Tune alone and KerasTuner.

A search of fixed configurations (three structures, ten learning rates each; a grid, and a warm-up
of the rate so long that no rung stops a trial) runs as the command does: Ray Tune, Optuna's
storage, rungs, records, checkpoints. One worker has all cores. The number of images is measured
first, so that a trial takes about 10 s, or 1 s. Beside it, on the same configurations, epochs,
arrays and threads (``peers/alone.py``):

- bare, traced: only the epochs of `model.fit` on models whose graphs were made before. The goal is
  held against this one. Half of the configurations run before the search and half after it.
- bare, rebuilt: a warm loop that builds each model anew; a few configurations of each structure.
- plain Ray Tune with its defaults, and `keras_tuner.RandomSearch`; both with the 1 s trials only.

"Workers up" is from the end of the first trial to the end of the last, by ``trials.jsonl``. "Cold"
is a whole process; ours also retrains, tests, exports and reports, so the time to the end of the
last trial is given beside it. The images are in our pixel cache, and in memory for the others.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import frame
import numpy as np
from peers import alone

from automl_img.runs import find_run
from automl_img.search.resources import share
from automl_img.search.worker import environment
from automl_img.trials import TrialRecord

GOAL = (
    "10 s trials at most 1.05 of bare traced training; 1 s trials at most 0.3 s each above it, "
    "and 3 times faster than plain Ray Tune from cold"
)
_EPOCHS = 4
_STRUCTURES = 3
_FIXED = {
    "cnn.filters": 16,
    "cnn.convolutions": 1,
    "head.dropout": 0.2,
    "optimizer.name": "adam",
    "batch_size": 64,
    "augment.strength": 0.5,
    # A trial in its warm-up is compared with no other, so the rungs are asked and stop nobody.
    "optimizer.warmup_epochs": 20,
}
_DEPTHS = (1, 2, 3)
_FEWEST_PER_CLASS, _MOST_PER_CLASS = 20, 5000
_CALIBRATION_PER_CLASS = 200

Figures = dict[str, float | int | str | bool]


@dataclass(frozen=True)
class Level:
    """One search.

    Attributes:
        seconds: that a trial takes about.
        trials: how many there are.
        rebuilt: how many of them the loop that rebuilds each model runs, as many of each structure.
        tools: whether it is compared with other tools too, from cold.
    """

    seconds: float
    trials: int
    rebuilt: int
    tools: bool

    @property
    def name(self) -> str:
        return f"{self.seconds:g} s trials"


@dataclass(frozen=True)
class Ours:
    """Our search: its records, seconds of the whole process, seconds to its last trial's end."""

    records: list[TrialRecord]
    whole: float
    to_last_trial: float

    @property
    def up(self) -> float:
        """Seconds from the end of the first trial to the end of the last."""
        return self.records[-1].ended - self.records[0].ended


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    levels = [Level(1, 6, 3, True)] if short else [Level(10, 30, 3, False), Level(1, 30, 6, True)]
    figures: Figures = {}
    met = []
    with frame.workspace() as folder:
        line = _calibrate(folder, figures)
        for level in levels:
            found, reached = _measure(level, line, folder)
            figures |= {f"{level.name}: {key}": value for key, value in found.items()}
            met.append(reached)
    frame.finish("overhead", figures, GOAL, all(met), short)


def _calibrate(folder: Path, figures: Figures) -> tuple[float, float]:
    """(seconds, seconds an image of each class) of a bare trial: a line through two sizes."""
    images = frame.small_images(folder, _CALIBRATION_PER_CLASS)
    figures |= {"images": images.words, "epochs a trial": _EPOCHS}
    job = _job(folder, images, 2 * _STRUCTURES)
    seconds = alone.start("steady_trials", job, _environment())
    slope = 2 * (seconds["all"] - seconds["half"]) / _CALIBRATION_PER_CLASS
    return max(0.0, 2 * seconds["half"] - seconds["all"]), max(slope, 1e-9)


def _measure(level: Level, line: tuple[float, float], folder: Path) -> tuple[Figures, bool]:
    """The figures of one search, and whether it reached its part of the goal."""
    constant, slope = line
    wanted = (level.seconds - constant) / slope
    per_class = int(min(max(wanted, _FEWEST_PER_CLASS), _MOST_PER_CLASS))
    images = frame.small_images(folder, per_class)
    job = _job(folder, images, level.trials)
    bare_before = _bare(job, job.configurations[1::2])
    ours = _search(level, images, job, folder)
    # The first trial is the warm-up of our workers, so it is in neither sum.
    bare_after = _bare(job, job.configurations[2::2])
    bare = bare_before + bare_after
    figures: Figures = {"images a class": per_class} | _against_bare(ours, bare)
    figures |= _where_it_goes(ours.records, statistics.fmean(bare))
    some = job.configurations[:: level.trials // level.rebuilt]
    rebuilt = alone.start("bare_rebuilt", replace(job, configurations=some), _environment())
    figures["bare rebuilt, seconds a trial"] = round(statistics.fmean(rebuilt["seconds"]), 3)
    if not level.tools:
        return figures, bool(figures["ours / bare traced"] <= 1.05)  # type: ignore[operator]
    figures |= _against_tools(ours, job)
    return figures, bool(
        figures["ours - bare traced, seconds a trial"] <= 0.3  # type: ignore[operator]
        and figures["plain Ray Tune / ours, cold"] >= 3  # type: ignore[operator]
    )


def _against_bare(ours: Ours, bare: list[float]) -> Figures:
    return {
        "bare traced, seconds a trial": round(statistics.fmean(bare), 3),
        "ours, workers up, seconds a trial": round(ours.up / len(bare), 3),
        "ours / bare traced": round(ours.up / sum(bare), 3),
        "ours - bare traced, seconds a trial": round((ours.up - sum(bare)) / len(bare), 3),
    }


def _where_it_goes(records: list[TrialRecord], bare: float) -> Figures:
    """Our seconds a trial above bare training, by where they are spent; the first trial is out."""
    later = records[1:]
    epochs = [sum(epoch.seconds for epoch in record.epochs) for record in later]
    within = [record.ended - record.started for record in later]
    gaps = [after.started - before.ended for before, after in zip(records, later, strict=False)]
    new = [record for record in later if record.graphs_traced != 0]
    outside = statistics.fmean(within) - statistics.fmean(epochs)
    return {
        "of that: epochs slower than bare": round(statistics.fmean(epochs) - bare, 3),
        "of that: in a trial, outside its epochs": round(outside, 3),
        "of that: between trials": round(statistics.fmean(gaps), 3),
        "trials that traced a graph, the first left out": len(new),
    }


def _against_tools(ours: Ours, job: alone.Job) -> Figures:
    """Plain Ray Tune and KerasTuner from cold, as multiples of ours."""
    figures: Figures = {"ours, cold, seconds": round(ours.whole, 1)}
    figures["ours, cold, to the last trial, seconds"] = round(ours.to_last_trial, 1)
    for name, function in (
        ("plain Ray Tune", "plain_ray"),
        ("keras_tuner.RandomSearch", "keras_tuner_random"),
    ):
        found = alone.start(function, job, _environment())
        figures[f"{name}, cold, seconds"] = round(found["whole"], 1)
        figures[f"{name} / ours, cold"] = round(found["whole"] / ours.whole, 3)
        ratio = found["to_last_trial"] / ours.to_last_trial
        figures[f"{name} / ours, cold, to the last trial"] = round(ratio, 3)
    return figures


def _bare(job: alone.Job, configurations: list[dict[str, Any]]) -> list[float]:
    job = replace(job, configurations=configurations)
    return list(alone.start("bare_traced", job, _environment())["seconds"])


def _job(folder: Path, images: frame.Images, trials: int) -> alone.Job:
    """What the others train: the arrays of ``images``, and the configurations of our grid."""
    from automl_img.models.hyperparameters import declared
    from automl_img.search.grid import grid
    from automl_img.space.presets import build_space, find_preset, read_preset

    ready = frame.prepared(images)
    path = folder / f"arrays-{len(ready.split.train)}.npz"
    x, y, vx, vy = frame.arrays(ready)
    np.savez(path, x=x, y=y, vx=vx, vy=vy)
    preset = read_preset(find_preset("cnn_small"))
    search, fixed = _search_settings(trials)
    space = build_space("cnn_small", preset, declared(), search, fixed)
    facts = {
        "image_size": ready.image_size,
        "channels": ready.channels,
        "classes": len(ready.class_names),
        "flips": ready.flips,
    }
    return alone.Job(str(path), facts, grid(space, trials, 0), _EPOCHS, str(folder))


def _search_settings(trials: int) -> tuple[dict[str, str], dict[str, str]]:
    """What is searched and what is fixed, as typed on the command line."""
    rates = np.geomspace(1e-4, 1e-2, trials // _STRUCTURES)
    search = {
        "cnn.depth": ",".join(map(str, _DEPTHS)),
        "optimizer.learning_rate": ",".join(f"{rate:.6g}" for rate in rates),
    }
    return search, {key: str(value) for key, value in _FIXED.items()}


def _search(level: Level, images: frame.Images, job: alone.Job, folder: Path) -> Ours:
    """Our search over the configurations of ``job``, as a whole process.

    Raises:
        RuntimeError: it failed, or it did not run these configurations for all their epochs.
    """
    name = f"search-{level.seconds:g}"
    search, fixed = _search_settings(level.trials)
    options = ["--space", "cnn_small", "--sampler", "grid", "--workers", "1", "--seed", "0"]
    options += ["--budget", str(level.trials), "--max-epochs", str(_EPOCHS)]
    for option, values in (("--search", search), ("--fix", fixed)):
        for key, value in values.items():
            options += [option, f"{key}={value}"]
    places = ["--out", str(folder), "--name", name]
    began = time.time()
    whole = frame.wall([frame.program("automl-img"), "search", images.data, *options, *places])
    records = find_run(name, folder).trials()
    asked = sorted(job.configurations, key=str)
    if sorted((record.params for record in records), key=str) != asked:
        raise RuntimeError("the search did not run the configurations of the others")
    if any(len(record.epochs) != _EPOCHS for record in records):
        raise RuntimeError("a trial of the search did not run all its epochs")
    return Ours(records, whole, records[-1].ended - began)


def _environment() -> dict[str, str]:
    """The threads and the GPU of our one worker, for the others too."""
    return {**os.environ, **environment(share(1, None))}


if __name__ == "__main__":
    main()
