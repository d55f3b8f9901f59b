"""One cell: a process with so much time, killed then; another process scores what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import frame
import numpy as np
import psutil

from contest.task import PREDICTIONS, Curve, System, Task
from contest.tracks import Data

# To load a model and predict the test images; not a part of the time of a cell.
_TO_PREDICT = 900.0
_LOG = "log.txt"
_LAST_LINES = 4


@dataclass(frozen=True)
class Outcome:
    """How a cell went.

    Attributes:
        accuracy: of the untouched test images, in [0, 1]; 0 where nothing on the disk predicts,
            None where the system cannot run here.
        validation: the best that the system saw, or None.
        seconds: from the start of its process to its end.
        ended: "killed at the budget", "by itself" or "exit code N".
        error: why there is no model, or why the system cannot run; else None.
        curve: see ``contest.task.Curve``.
    """

    accuracy: float | None
    validation: float | None
    seconds: float
    ended: str
    error: str | None
    curve: Curve


def run_cell(
    system: System, track: str, seed: int, seconds: float, data: Data, weights_dir: str | None
) -> Outcome:
    """Give ``system`` its time, then score what is on the disk."""
    if (reason := system.why_not()) is not None:
        return Outcome(None, None, 0.0, "not started", reason, [])
    # Short, as Ray puts sockets into it, whose paths have at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="cell-", ignore_cleanup_errors=True) as folder:
        task = Task(
            system=system.name,
            track=track,
            seed=seed,
            seconds=seconds,
            began=time.time(),
            folder=folder,
            table=data.table,
            arrays=data.arrays,
            test_images=str(Path(folder) / "test.npy"),
            class_names=data.class_names,
            facts=data.facts,
            weights_dir=weights_dir,
        )
        task.save()
        elapsed, ended = timed(system.start(task), seconds, environment(folder), Path(folder))
        curve = system.curve(task)
        accuracy, error = _score(system, task, data)
        if error and not ended.startswith(("killed", "by itself")):
            error = f"{error}; its process said: {_last_lines(Path(folder))}"
    return Outcome(accuracy, curve[-1][1] if curve else None, elapsed, ended, error, curve)


def timed(
    command: list[str], seconds: float, environment: dict[str, str], folder: Path
) -> tuple[float, str]:
    """Run ``command`` for at most ``seconds``, then kill it with all that it started.

    It leads a session of its own: what it starts stays in that, whatever group it makes, and is
    found there also when the leader has ended.

    Returns:
        (seconds that it ran, how it ended).
    """
    began = time.perf_counter()
    with (folder / _LOG).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=frame.FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(max(0.0, seconds - (time.perf_counter() - began)))
            ended = "by itself" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            ended = "killed at the budget"
        finally:
            elapsed = time.perf_counter() - began
            _kill_session(process.pid)
            process.wait()
    return round(elapsed, 2), ended


def environment(folder: str) -> dict[str, str]:
    """Of a cell: our modules, and a cache, temporary files and a Ray that nobody else has."""
    paths = [str(frame.FOLDER), str(frame.FOLDER.parent)]
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    temporary = Path(folder) / "t"
    temporary.mkdir(exist_ok=True)
    return {
        **os.environ,
        "TMPDIR": str(temporary),
        "RAY_TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join([*known, *paths]),
        "AUTOML_IMG_CACHE": str(Path(folder) / "cache"),
    }


def _kill_session(leader: int) -> None:
    """Kill every process of the session of ``leader``, until there is none."""
    for _ in range(100):
        members = [pid for pid in psutil.pids() if _session(pid) == leader]
        members = [pid for pid in members if not _is_dead(pid)]
        if not members:
            return
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    raise RuntimeError(f"processes of a cell could not be killed: {members}")


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_dead(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to read how it ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _score(system: System, task: Task, data: Data) -> tuple[float, str | None]:
    """(test accuracy of what is on the disk, why there is nothing)."""
    # The test images come into reach only now.
    os.symlink(data.test_images, task.test_images)
    done = subprocess.run(
        system.predict(task),
        cwd=frame.FOLDER,
        env=environment(task.folder),
        capture_output=True,
        text=True,
        timeout=_TO_PREDICT,
        check=False,
    )
    predictions = Path(task.folder) / PREDICTIONS
    if done.returncode or not predictions.exists():
        lines = done.stderr.strip().splitlines()
        return 0.0, f"no model: {lines[-1][:300] if lines else 'no message'}"
    return float((np.load(predictions) == data.test_labels).mean()), None


def _last_lines(folder: Path) -> str:
    lines = (folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(line.strip()[:200] for line in lines[-_LAST_LINES:])


def as_json(outcome: Outcome) -> dict[str, Any]:
    """What is kept of a cell; no path of this machine is in it."""
    error = outcome.error
    for place in (str(Path.home()), str(frame.FOLDER.parent), tempfile.gettempdir()):
        error = None if error is None else error.replace(place, "~")
    return {**vars(outcome), "error": error}
