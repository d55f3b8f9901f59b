"""One search whose trials sleep: the real driver and real workers of Ray, and what they cost.

All that decides, keeps and hands out trials is the project's own, as ``automl_img.search.session``
puts it together; what sleeps is ``simulation.sleeper``. There are no repeats and no retraining.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import frame
import psutil

from automl_img.events import Event, TrialEnded
from automl_img.runs import create_run
from automl_img.search.conductor import Conductor
from automl_img.search.connection import ray_for
from automl_img.search.engine import run_trials
from automl_img.search.memory import MemoryBounds
from automl_img.search.placement import Placement
from automl_img.search.proposals import Proposals
from automl_img.search.reserve import reserve_of
from automl_img.search.resources import Resources
from automl_img.search.retention import Retention
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, Suggestion
from automl_img.search.specs import Specs
from automl_img.search.spending import Part, Spending
from automl_img.search.start import StartPoints
from automl_img.settings import SearchSettings
from automl_img.trials import TrialRecord, TrialSpec
from simulation.sleeper import sleeping_trial
from simulation.synthetic import Synthetic
from simulation.tasks import Recorded, Task

# Of a worker: so much that nothing is refused, and all the same told.
_MEMORY_BYTES = 64_000_000_000


@dataclasses.dataclass(frozen=True)
class Load:
    """One search.

    Attributes:
        trials: that end before it is stopped.
        epoch: seconds that the median epoch of the task takes.
        task: the name of a file of recorded curves, or "made up".
    """

    workers: int
    trials: int
    epoch: float
    task: str


@dataclasses.dataclass
class Seen:
    """What was measured in the driver.

    Attributes:
        asked: (trials in the study, seconds of CPU) of each suggestion of the sampler.
        ended: (seconds since 1970, seconds of CPU of the driver, bytes that it holds) as each trial
            ended.
        slept: (trial, beginning, end) of each epoch, by process, in order.
        ray: seconds of CPU of Ray's own processes, from the start to the end.
        study: bytes of ``study.db``.
    """

    asked: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    ended: list[tuple[float, float, int]] = dataclasses.field(default_factory=list)
    slept: list[list[tuple[int, float, float]]] = dataclasses.field(default_factory=list)
    ray: float = 0.0
    study: int = 0


def measured(load: Load, folder: Path) -> Seen:
    """Run ``load`` in a process of its own.

    Raises:
        RuntimeError: it failed.
    """
    code = (
        "import sys; from pathlib import Path; from simulation import driver; "
        "driver.drive(Path(sys.argv[1]), sys.argv[2])"
    )
    folder.mkdir()
    # Workers import this folder too.
    path = os.pathsep.join(filter(None, [str(frame.FOLDER), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        frame.python("-c", code, folder, json.dumps(dataclasses.asdict(load))),
        cwd=frame.FOLDER,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{load} failed:\n{done.stderr[-3000:]}")
    return Seen(**json.loads((folder / "seen.json").read_text(encoding="utf-8")))


def drive(folder: Path, load: str) -> None:
    """Search until so many trials have ended; what was seen is in ``seen.json`` afterwards."""
    frame.quiet()
    search = _Search(folder, Load(**json.loads(load)))
    (folder / "seen.json").write_text(json.dumps(dataclasses.asdict(search.run())), "utf-8")


class _TimedSampler(Sampler):
    """The sampler, with the time that it takes to suggest."""

    asked: list[tuple[int, float]]

    def ask(self, number: int) -> Suggestion | None:
        began = time.thread_time()
        suggestion = super().ask(number)
        self.asked.append((number, time.thread_time() - began))
        return suggestion


class _Nothing:
    """The stage after the search, of no trial; see ``automl_img.search.stage.Stage``."""

    part: Part = "retraining"
    compared = kept = alone = order_is_free = given_up = False
    over = True

    def ask(self) -> Suggestion | None:
        return None

    def spec(self, suggestion: Suggestion) -> TrialSpec:
        raise AssertionError("nothing is asked for")

    def ended(self, record: TrialRecord) -> None:
        raise AssertionError("nothing was started")


class _Search:
    def __init__(self, folder: Path, load: Load) -> None:
        self._load, self._seen = load, Seen()
        self._process = psutil.Process()
        self._slept = folder / "slept"
        self._slept.mkdir()
        task = _task(load.task)
        # What it looks up is kept in it, and travels to the workers.
        task.curve(task.space.nearest({}), 0)
        self._trainable = sleeping_trial(task, load.workers, load.epoch, self._slept)
        self._resources = Resources(load.workers, 1, 0, 0.0, _MEMORY_BYTES)
        # Of time, as what is kept back for the end is estimated anew with each report.
        settings = SearchSettings(data="digits", budget="100h", max_epochs=task.max_epochs)
        prepared = frame.prepared(frame.digits())
        self._run = create_run(folder, "run", {})
        self._sampler = _TimedSampler(self._run.study, task.space, "tpe", 0)
        self._sampler.asked = self._seen.asked
        specs = Specs(settings, prepared, self._run, {}, self._resources)
        began = time.monotonic()
        spending = Spending(
            settings.allowed,
            reserve_of(settings, prepared, self._resources, task.space),
            lambda: time.monotonic() - began,
        )
        first, numbers = StartPoints(task.space, task.facts), itertools.count()
        self._conductor = Conductor(
            self._run,
            (
                Proposals(self._sampler, first, "tpe", numbers, specs, spending, self._hear),
                _Nothing(),
            ),
            self._sampler,
            Rungs(task.max_epochs),
            spending,
            Placement.on(self._resources),
            MemoryBounds(
                self._resources.trial_bytes,
                self._resources.held_bytes,
                specs.graph,
                specs.footprint,
                task.facts.images,
            ),
            Retention(self._run, settings.disk_bytes),
            specs.graph,
            self._hear,
            lambda: len(self._seen.ended) >= load.trials,
        )

    def run(self) -> Seen:
        with ray_for(self._resources, self._run, ()) as nothing:
            run_trials(
                self._conductor,
                self._run,
                self._resources,
                self._hear,
                nothing,
                trainable=self._trainable,
            )
            self._seen.ray = sum(
                sum(process.cpu_times()[:2])
                for process in self._process.children(recursive=True)
                if process.name() in ("raylet", "gcs_server")
            )
        self._sampler.close()
        self._seen.study = self._run.study.stat().st_size
        for path in sorted(self._slept.iterdir()):
            lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
            self._seen.slept.append([(int(n), float(b), float(e)) for n, b, e in lines])
        return self._seen

    def _hear(self, event: Event) -> None:
        if isinstance(event, TrialEnded):
            used: Any = self._process.cpu_times()
            held = self._process.memory_info().rss
            self._seen.ended.append((time.time(), used.user + used.system, held))


def _task(name: str) -> Task:
    if name == "made up":
        return Synthetic(0)
    return Recorded(frame.FOLDER / "curves" / f"{name}.json")
