"""Jobs on image files in background processes, which use every core.

They are started as programs of their own, not by multiprocessing: a fork of a process that holds
TensorFlow may hang, and a spawn imports the user's script again, which needs a guard that notebooks
and short scripts do not have. They get this process's ``sys.path`` and nothing else of it.

A process takes 0.12 s to start, in which one core decodes some 200 photos of 256 pixels or reads
2,000 small files: what takes less than ``_WORTHWHILE`` is done in the process that asks. Threads
would not do: on 60,000 images of 32 pixels two were slower than one (7.2 s and 4.9 s, by processes
3.1 s), as they wait for the interpreter's lock.
"""

from __future__ import annotations

import atexit
import io
import itertools
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import LifoQueue
from threading import Lock
from types import TracebackType
from typing import IO, Any

import numpy as np

from automl_img.data import worker
from automl_img.data.worker import Job, Pixels
from automl_img.errors import DataError

# -P: else a file json.py in the user's folder would be taken for the library.
_COMMAND = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    f"from {worker.__name__} import main; main()"
)
# An image needs no linear algebra, for which numpy would start a thread for each core.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_MOST = 32
_WORTHWHILE = 1.0  # seconds of work on one core
_WORTH_ONE = 0.25  # seconds of work for each process
_READY_JOBS = 4  # for each process: enough to be busy while the results are fetched


class Processes:
    """A fixed number of background processes, each started with the first job that it gets."""

    def __init__(self, count: int) -> None:
        """
        Args:
            count: at least 1.
        """
        self.count = count
        self._lock = Lock()
        self._closed = False
        self._started: set[_Process] = set()
        # Last in, first out: a job goes to a process that runs, before another is started.
        self._idle: LifoQueue[_Process | None] = LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        # Each thread waits for one process.
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="images")

    def submit(self, job: Job, target: Pixels | None = None) -> Future[Any]:
        """The result of ``job``, see ``worker``, when it is there.

        Args:
            job: made by a function of ``worker``.
            target: gets the pixels where the job sends them; contiguous, of their shape.

        Raises:
            DataError: (of the result) the job says so, or its process ended.
            OSError: (of the result) the pixels cannot be written.
        """
        return self._threads.submit(self._run, job, target)

    def close(self) -> None:
        """End all processes at once; jobs that are not done are dropped."""
        with self._lock:
            self._closed = True
            started = list(self._started)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.end()
        self._threads.shutdown(wait=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, job: Job, target: Pixels | None) -> Any:
        process = self._idle.get()
        try:
            process = process or self._start()
            return process.ask(job, target)
        except _Ended as ended:
            assert process is not None
            with self._lock:
                self._started.discard(process)
            process.end()
            process = None
            raise DataError(
                "the processes that decode images must run to the end, but one ended "
                f"({ended}) at {job['paths'][0]} or one of the next {len(job['paths']) - 1} "
                "files; free some memory, remove a file that breaks the decoder, and start again"
            ) from None
        finally:
            self._idle.put(process)

    def _start(self) -> _Process:
        with self._lock:
            if self._closed:
                raise DataError("the processes that decode images were ended; start again")
            try:
                process = _Process()
            except OSError as error:
                raise DataError(
                    "background processes that decode images must start, but "
                    f"{error.strerror or error}; allow this user more processes and memory"
                ) from None
            self._started.add(process)
            return process


class _Ended(Exception):
    """The process is gone; the message says how it ended."""


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
            # Ctrl-C is for the process that the user sees; this one ends with it.
            start_new_session=True,
        )

    def ask(self, job: Job, target: Pixels | None) -> Any:
        jobs, answers = self._process.stdin, self._process.stdout
        assert jobs is not None
        assert answers is not None
        try:
            jobs.write(json.dumps(job).encode() + b"\n")
            jobs.flush()
            line = answers.readline()
        except (OSError, ValueError):
            line = b""
        if not line.endswith(b"\n"):
            raise _Ended(self._how())
        answer = json.loads(line)
        if "data_error" in answer:
            raise DataError(answer["data_error"])
        if "os_error" in answer:
            raise OSError(*answer["os_error"])
        if target is not None and not _fill(target, answers):
            raise _Ended(self._how())
        return answer["result"]

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            try:
                stream.close()
            except OSError:
                # What was not sent yet cannot be sent any more.
                continue

    def _how(self) -> str:
        code = self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _fill(target: Pixels, stream: IO[bytes]) -> bool:
    """Whether all bytes of ``target`` came."""
    assert isinstance(stream, io.BufferedReader)
    return stream.readinto(target.data.cast("B")) == target.nbytes


def run(jobs: Iterable[Job], count: int) -> Generator[Any]:
    """The results of ``jobs``, in their order, few at a time in memory.

    Args:
        jobs: none that sends pixels.
        count: processes; 0 does the work in this one.

    Raises:
        DataError: a job says so, or a process ended.
        OSError: pixels cannot be written.
    """
    if not count:
        for job in jobs:
            yield worker.do(job)[0]
        return
    waiting: deque[Future[Any]] = deque()
    with Processes(count) as processes:
        for job in jobs:
            waiting.append(processes.submit(job))
            if len(waiting) >= _READY_JOBS * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def worth(paths: Sequence[str], file_seconds: float, byte_seconds: float) -> int:
    """How many processes work on ``paths`` is worth; 0 is better done in this one.

    Args:
        paths: of the files; the sizes of a sample count.
        file_seconds: what a file takes on one core, however small.
        byte_seconds: what each of its bytes takes.
    """
    some = paths[:: max(1, len(paths) // 50)]
    sizes = [os.path.getsize(path) for path in some if os.path.exists(path)]
    mean = sum(sizes) / max(1, len(sizes))
    seconds = len(paths) * (file_seconds + mean * byte_seconds)
    if seconds < _WORTHWHILE or cores() == 1:
        return 0
    return min(cores(), int(seconds / _WORTH_ONE))


def chunks(count: int, processes: int, most: int = 64) -> list[range]:
    """Ranges that cover ``count`` rows, with some for each process, of at most ``most`` rows."""
    step = max(1, min(most, -(-count // (_READY_JOBS * max(1, processes)))))
    return [range(start, min(start + step, count)) for start in range(0, count, step)]


def cores() -> int:
    """The cores that this process may use, at most 32."""
    if hasattr(os, "sched_getaffinity"):
        return min(_MOST, len(os.sched_getaffinity(0)))
    return min(_MOST, os.cpu_count() or 1)


def split_evenly(count: int, parts: int) -> list[range]:
    """Ranges that cover ``count`` rows, at most ``parts`` of nearly equal length."""
    edges = np.linspace(0, count, min(count, parts) + 1).round().astype(int).tolist()
    return [range(start, stop) for start, stop in itertools.pairwise(edges)]


_shared: tuple[int, Processes] | None = None
_shared_lock = Lock()


def shared() -> Processes:
    """The processes that all streamed images of this process share; they end with it.

    A worker of the search has the cores that Ray gave it, which is what OMP_NUM_THREADS says.
    """
    global _shared
    with _shared_lock:
        # After a fork the pipes belong to the parent.
        if _shared is None or _shared[0] != os.getpid():
            given = os.environ.get("OMP_NUM_THREADS", "")
            count = min(cores(), int(given)) if given.isdigit() and int(given) else cores()
            _shared = os.getpid(), Processes(count)
            atexit.register(_shared[1].close)
        return _shared[1]
