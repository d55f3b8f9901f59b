"""What a job prints, followed as long as it runs."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from automl_img.errors import HeadUnreachable, JobError
from automl_img.jobs.client import Head
from automl_img.jobs.job import Job

# Seconds without a word after which the head is asked whether the job still runs; after which the
# log is asked for anew, as a connection may be dead without a sign; and for which one that broke is
# tried again.
_QUIET, _SILENT, _PATIENCE = 10.0, 300.0, 300.0
# Seconds for a job to stop; Ray kills it after less.
_STOPPING = 90.0
_WAITS = (1.0, 2.0, 5.0, 10.0)
# Above it Ray tells how it sets up the job.
_BEGINS = re.compile(r"^Running entrypoint for job [^\n]*\n", re.MULTILINE)
# What Ray or the shell say where a node is not as it has to be, and what that means.
_MEANINGS = (
    (
        r"requires a different Python: (?P<what>[\d.]+)",
        "the Python of the nodes is {what}, but this code takes 3.11, 3.12 or 3.13; start the "
        "cluster with one of these",
    ),
    (
        r"Version mismatch: The cluster was started with",
        "the cluster was started with another version of Python or Ray than its driver runs; "
        "start all nodes from one environment",
    ),
    (
        r"No module named '(?P<what>[\w.]+)'",
        "the Python of the head has no module {what}; install what automl-img needs on all nodes, "
        "or start them from its image",
    ),
    (
        r"(No such file or directory: 'pip'|local variable 'exit_code')",
        "there is no pip on the PATH of the head, which Ray installs the code with; start the head "
        "from an environment that is activated",
    ),
    (
        r"(python: (command )?not found|unknown option -P)",
        "there is no Python of 3.11 or later on the PATH of the head; start it from an environment "
        "that is activated",
    ),
)


@dataclass
class _Heard:
    """What was shown already: each connection begins with the first line again."""

    show: Callable[[str], None]
    shown: int = 0
    text: str = ""

    def begin(self) -> None:
        self.text = ""

    def hear(self, piece: str) -> None:
        self.text += piece
        begins = _BEGINS.search(self.text)
        if begins is None:
            return
        ready = self.text[begins.end() :]
        whole = ready.rfind("\n") + 1
        for line in ready[self.shown : whole].splitlines():
            self.show(line)
        self.shown = max(self.shown, whole)


def follow(head: Head, job_id: str, show: Callable[[str], None]) -> Job:
    """Show what a job prints, line by line, until it is over.

    A connection that breaks is tried again for five minutes.

    Returns:
        The job, over.

    Raises:
        HeadUnreachable: it did not come back; the job goes on.
        JobError: there is no such job.
    """
    heard = _Heard(show)
    failing_since: float | None = None
    failures = 0
    while True:
        try:
            job = head.job(job_id)
            if failing_since is not None:
                failing_since, failures = None, 0
            if _hear_on(head, job, heard):
                return _ended(head, job_id)
        except HeadUnreachable:
            failing_since = failing_since or time.monotonic()
            if time.monotonic() - failing_since > _PATIENCE:
                raise HeadUnreachable(
                    f"the connection to {head.address.url} is lost for {_PATIENCE / 60:.0f} "
                    f"minutes; the job goes on there, and this comes back to it: automl-img jobs "
                    f"logs {job_id}{head.address.option}"
                ) from None
            time.sleep(_WAITS[min(failures, len(_WAITS) - 1)])
            failures += 1


def _hear_on(head: Head, job: Job, heard: _Heard) -> bool:
    """Show the log on one connection.

    Returns:
        Whether the job is over and all of its log was shown; else another connection is needed.

    Raises:
        HeadUnreachable: the connection broke.
    """
    pieces: queue.Queue[str | Exception | None] = queue.Queue()

    def read() -> None:
        try:
            head.tail(job.id, pieces.put)
            pieces.put(None)
        except Exception as error:
            pieces.put(error)

    heard.begin()
    # A thread, so that Ctrl-C is heard at once; it ends with the connection, or with the process.
    threading.Thread(target=read, daemon=True).start()
    since = time.monotonic()
    while True:
        try:
            piece = pieces.get(timeout=_QUIET)
        except queue.Empty:
            if head.job(job.id).over:
                return True
            if time.monotonic() - since > _SILENT:
                return False
            continue
        since = time.monotonic()
        if piece is None:
            return True
        if isinstance(piece, Exception):
            raise piece
        heard.hear(piece)


def _ended(head: Head, job_id: str) -> Job:
    """The job once the head says that it is over, which may be after its log ended."""
    deadline = time.monotonic() + _PATIENCE
    while not (job := head.job(job_id)).over:
        if time.monotonic() > deadline:
            raise JobError(
                f"the log of {job_id} has ended, but the job is {job.status.lower()}; look again: "
                f"automl-img jobs list{head.address.option}"
            )
        time.sleep(0.5)
    return job


def stop(head: Head, job_id: str) -> Job:
    """End a job, and wait until it has.

    Raises:
        JobError: there is no such job, or it has not ended when Ray should have killed it.
    """
    if (job := head.job(job_id)).over:
        return job
    head.stop(job_id)
    deadline = time.monotonic() + _STOPPING
    while not (job := head.job(job_id)).over:
        if time.monotonic() > deadline:
            raise JobError(
                f"{job_id} was told to stop, but is still {job.status.lower()}; look again: "
                f"automl-img jobs list{head.address.option}"
            )
        time.sleep(0.5)
    return job


def text_of(head: Head, job_id: str) -> str:
    """All that a job has printed so far, without what Ray prints above it."""
    text = head.log(job_id)
    begins = _BEGINS.search(text)
    return text[begins.end() :] if begins else ""


def reason(head: Head, job: Job) -> str:
    """Why a job failed, as half a sentence."""
    said = f"{job.message}\n{head.log(job.id)[-20_000:]}"
    for pattern, meaning in _MEANINGS:
        if found := re.search(pattern, said):
            return meaning.format(**found.groupdict())
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["the head does not say why"])[-1]
