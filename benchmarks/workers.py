"""Two workers of half of the cores each, against one worker that has all cores.

The same fixed configurations (three structures, four learning rates each; a grid, and a warm-up
of the rate so long that no rung stops a trial) are searched by the command, with `--workers 1` and
with `--workers 2`, in turns. "Whole" is the process, start to exit. "In trials" is from the start
of the first trial to the end of the last, by `trials.jsonl`, imports of the workers included;
"warm" leaves the first trial of each worker out. What `--workers` takes by default on a machine
without a GPU follows from the whole searches: see `share` in `automl_img/search/hardware.py`.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path

import frame
import numpy as np

from automl_img.runs import find_run
from automl_img.search.hardware import core_count
from automl_img.search.resources import share
from automl_img.trials import TrialRecord

GOAL = "by default a search takes as many workers as are faster here, or within 5 % of it"
_NEAR = 1.05
_DEPTHS = (1, 2, 3)
_FIXED = {
    "cnn.filters": "16",
    "cnn.convolutions": "1",
    "head.dropout": "0.2",
    "optimizer.name": "adam",
    "batch_size": "64",
    # A trial in its warm-up is compared with no other, so the rungs are asked and stop nobody.
    "optimizer.warmup_epochs": "20",
}


@dataclass(frozen=True)
class Load:
    """How much there is to train."""

    per_class: int
    rates: int
    epochs: int
    rounds: int


@dataclass
class Side:
    """The searches with one number of workers: a value for each in each list."""

    whole: list[float] = field(default_factory=list)
    trials: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)


FULL = Load(per_class=250, rates=4, epochs=4, rounds=2)
SHORT = Load(per_class=40, rates=2, epochs=2, rounds=1)


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    load = SHORT if short else FULL
    sides = {1: Side(), 2: Side()}
    with frame.workspace() as folder:
        images = frame.small_images(folder, load.per_class)
        # Decodes the images, so that no search has to.
        ready = frame.prepared(images)
        for turn in range(load.rounds):
            for workers in (1, 2) if turn % 2 == 0 else (2, 1):
                _search(workers, images, load, len(ready.split.train), folder, sides[workers])
    by_default = share(None, None).workers
    best = min(sides, key=lambda workers: min(sides[workers].whole))
    figures: dict[str, float | int | str | bool] = {
        "images": images.words,
        "cores": core_count(),
        "trials": load.rates * len(_DEPTHS),
        "2 workers / 1 worker, whole": round(min(sides[2].whole) / min(sides[1].whole), 3),
        "2 workers / 1 worker, whole, by medians": round(
            statistics.median(sides[2].whole) / statistics.median(sides[1].whole), 3
        ),
        "2 workers / 1 worker, images a second in trials": round(
            max(sides[2].trials) / max(sides[1].trials), 3
        ),
        "2 workers / 1 worker, images a second, warm": round(
            max(sides[2].warm) / max(sides[1].warm), 3
        ),
    }
    for workers, side in sides.items():
        figures[f"--workers {workers}, whole, seconds"] = round(min(side.whole), 1)
        figures[f"--workers {workers}, images a second in trials"] = round(max(side.trials))
        figures[f"--workers {workers}, images a second, warm"] = round(max(side.warm))
    figures["workers by default"] = by_default
    chosen = sides.get(by_default)
    met = chosen is not None and min(chosen.whole) <= _NEAR * min(sides[best].whole)
    frame.finish("workers", figures, GOAL, met, short)


def _search(
    workers: int, images: frame.Images, load: Load, train: int, folder: Path, side: Side
) -> None:
    """One whole search; its seconds and its images a second are added to ``side``.

    Args:
        train: training images of an epoch.

    Raises:
        RuntimeError: it failed, or a trial of it did not run all its epochs.
    """
    name = f"workers-{workers}-{len(side.whole)}"
    rates = np.geomspace(1e-4, 1e-2, load.rates)
    options = ["--search", f"cnn.depth={','.join(map(str, _DEPTHS))}"]
    options += ["--search", "optimizer.learning_rate=" + ",".join(f"{rate:.6g}" for rate in rates)]
    for key, value in _FIXED.items():
        options += ["--fix", f"{key}={value}"]
    options += ["--space", "cnn_small", "--sampler", "grid", "--workers", str(workers)]
    options += ["--budget", str(load.rates * len(_DEPTHS)), "--max-epochs", str(load.epochs)]
    options += ["--gpus-per-trial", "0", "--out", str(folder), "--name", name]
    command = [frame.program("automl-img"), "search", images.data, *options]
    side.whole.append(frame.wall(command))
    records = find_run(name, folder).trials()
    if any(len(record.epochs) != load.epochs for record in records):
        raise RuntimeError("a trial did not run all its epochs")
    side.trials.append(_images_a_second(records, min(r.started for r in records), train))
    later = sorted(records, key=lambda record: record.ended)
    side.warm.append(_images_a_second(later[workers:], later[workers - 1].ended, train))


def _images_a_second(records: list[TrialRecord], since: float, train: int) -> float:
    """Training images a second of the clock, from ``since`` to the end of the last trial."""
    epochs = sum(len(record.epochs) for record in records)
    return train * epochs / (max(record.ended for record in records) - since)


if __name__ == "__main__":
    main()
