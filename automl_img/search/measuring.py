"""Measures or trains configurations in a process of its own, so that the one that asks needs no
TensorFlow and lives on where a configuration takes all memory.

A job is one line of JSON on stdin, its answer one on stdout; the process ends with stdin.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from automl_img.errors import OutOfMemory, SearchError, TrialFailed
from automl_img.search.resources import Resources
from automl_img.search.worker import environment
from automl_img.training.costs import StepCost, Work
from automl_img.training.watchdog import WATCHDOG, refuse_hung
from automl_img.trials import EpochResult, TrialSpec

# -P: else a file json.py in the user's folder would be taken for the library.
_COMMAND = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from automl_img.search.measuring import main; main()"
)


class Measuring:
    """A process that measures, with the threads, the memory and the GPU of a worker.

    Attributes:
        start_seconds: what the last start took, the import of TensorFlow for the most part.
    """

    def __init__(self, resources: Resources) -> None:
        self.start_seconds = 0.0
        self._environment = environment(resources)
        self._process: subprocess.Popen[bytes] | None = None

    def work(self, spec: TrialSpec) -> list[Work]:
        """The phases of a trial; see ``automl_img.training.work``.

        Raises:
            TrialFailed: its network cannot be built.
        """
        return [Work(**phase) for phase in self._ask("work", spec)]

    def step(self, spec: TrialSpec) -> StepCost:
        """What ``spec.params`` cost; see ``automl_img.training.measure``.

        Raises:
            OutOfMemory: it does not fit, or the process died of it.
            TrialFailed: it cannot be trained.
        """
        return StepCost(**self._ask("step", spec))

    def train(self, spec: TrialSpec, epochs: int) -> list[EpochResult]:
        """The first ``epochs`` of a trial, whose folder is written to.

        Raises:
            Hung: nothing happened for longer than the trial may take.
            OutOfMemory: it does not fit, or the process died of it.
            TrialFailed: it cannot be trained.
        """
        try:
            trained = self._ask("train", spec, epochs=epochs)
        except OutOfMemory:
            refuse_hung(Path(spec.folder))
            raise
        return [EpochResult(**result) for result in trained]

    def __enter__(self) -> Measuring:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _ask(self, kind: str, spec: TrialSpec, **more: Any) -> Any:
        if self._process is None:
            self._start()
        answer = self._answer({"do": kind, "spec": vars(spec), **more})
        if answer is None:
            self._end()
            raise OutOfMemory("its process died, as it does where the machine runs out of memory")
        if "failed" in answer:
            kinds = {OutOfMemory.reason: OutOfMemory}
            raise kinds.get(answer["reason"], TrialFailed)(answer["failed"])
        return answer["result"]

    def _start(self) -> None:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **self._environment},
            # Ctrl-C is for the process that the user sees; this one ends with it.
            start_new_session=True,
        )
        if self._answer({"do": "start"}) is None:
            self._end()
            raise SearchError(
                "the process that measures must start, but it ended; AUTOML_IMG_DEBUG=1 shows why"
            )
        self.start_seconds = time.perf_counter() - began

    def _answer(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """None where the process has died."""
        assert self._process is not None
        jobs, answers = self._process.stdin, self._process.stdout
        assert jobs is not None
        assert answers is not None
        try:
            jobs.write(json.dumps(job).encode() + b"\n")
            jobs.flush()
            line = answers.readline()
        except (OSError, ValueError):
            return None
        return dict(json.loads(line)) if line.endswith(b"\n") else None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            try:
                stream.close()
            except OSError:
                # What was not sent yet cannot be sent any more.
                continue


def main() -> None:
    """Answer jobs until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    # What libraries print, in Python or not, must not get between the answers.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answered(json.loads(line))).encode() + b"\n")
        answers.flush()


def _answered(job: dict[str, Any]) -> dict[str, Any]:
    from automl_img.training.graphs import GraphCache
    from automl_img.training.guards import as_trial_failure, release_memory
    from automl_img.training.measure import measure_step
    from automl_img.training.trainer import Trainer
    from automl_img.training.work import work_of

    if job["do"] == "start":
        return {"result": None}
    spec = TrialSpec(**job["spec"])
    try:
        if job["do"] == "work":
            return {"result": [dataclasses.asdict(phase) for phase in work_of(spec)]}
        if job["do"] == "train":
            WATCHDOG.begin(Path(spec.folder), spec.timeout)
            trained = itertools.islice(Trainer(spec).epochs(), job["epochs"])
            return {"result": [dataclasses.asdict(result) for result in trained]}
        return {"result": dataclasses.asdict(measure_step(spec, GraphCache(most=1)))}
    except Exception as error:
        failure = as_trial_failure(error)
        return {"failed": str(failure), "reason": failure.reason}
    finally:
        if job["do"] == "step":
            release_memory(graphs=True, kernels=True)
