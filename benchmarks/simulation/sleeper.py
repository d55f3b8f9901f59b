"""A trial that sleeps through a learning curve, in a real worker process of Ray Tune.

It tells the driver what a trial that trains tells it, in as many and as long reports; see
``automl_img.search.worker``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automl_img.trials import EpochResult, TrialSpec, epochs_since_best
from simulation.tasks import Task

# Of the length of an epoch, beside the median one; a few points are far dearer than all others.
_SHORTEST, _LONGEST = 0.25, 4.0
# Seconds in which all workers come up, on few cores one after the other.
_LONGEST_START = 900.0


def sleeping_trial(
    task: Task, workers: int, epoch: float, folder: Path
) -> Callable[[dict[str, Any]], None]:
    """What Ray Tune is to run in place of ``automl_img.search.worker.run_trial``.

    No trial begins before all workers are up, as on a cluster, where they start at the same time.
    On a few cores they come up one by one, and once a trial has ended Tune lets the next one have
    its worker and takes back one that was starting: of 16, trials of 5 s left 8.

    Args:
        task: whose curve is slept through; it travels with the function.
        epoch: seconds that the median epoch of the task takes.
        folder: here each process writes when it slept: trial, beginning and end, in seconds since
            1970.
    """
    typical = task.training / task.max_epochs

    def sleep_through(config: dict[str, Any]) -> None:
        spec = TrialSpec(**config["spec"])
        curve = task.curve(spec.params, spec.seed)
        seconds = epoch * min(max(curve.seconds / typical, _SHORTEST), _LONGEST)
        epochs: list[EpochResult] = []
        ended = "finished"
        with (folder / f"{os.getpid()}.txt").open("a", buffering=1, encoding="utf-8") as slept:
            _wait_for_others(folder, workers)
            for number in range(1, spec.max_epochs + 1):
                began = time.time()
                time.sleep(seconds)
                slept.write(f"{spec.number} {began} {time.time()}\n")
                if number > len(curve.observed):
                    _report(number - 1, ended="diverged", error="the loss is not finite any more")
                    return
                value = curve.observed[number - 1]
                epochs.append(EpochResult(number, 0.5, value, 1 - value, value, seconds, 1e-3))
                _report(number, result=dataclasses.asdict(epochs[-1]), **_FACTS)
                if epochs_since_best(epochs) >= int(spec.params["early_stopping.patience"]):
                    ended = "early stopping"
                    break
        _report(len(epochs), ended=ended, **_FACTS)

    return sleep_through


def _wait_for_others(folder: Path, workers: int) -> None:
    """
    Raises:
        RuntimeError: they take too long.
    """
    until = time.monotonic() + _LONGEST_START
    while sum(1 for _ in folder.iterdir()) < workers:
        if time.monotonic() > until:
            raise RuntimeError(f"{workers} workers were not up after {_LONGEST_START:g} s")
        time.sleep(0.25)


# As large as those of a trial that trains.
_FACTS = {
    "serving": None,
    "memory": {"fixed_bytes": 1e8, "image_bytes": 1e6, "grown_bytes": 1e8},
    "threads": 1,
    "precision": "float32",
    "parameters": 1_000_000,
    "ms_per_image": 1.0,
    "graphs_traced": 0,
    "gpu_peak_bytes": None,
    "notice": None,
}


def _report(epoch: int, **content: Any) -> None:
    from ray import tune

    done = "ended" in content
    tune.report({"epoch": epoch, "message": json.dumps(content), "done": done})
