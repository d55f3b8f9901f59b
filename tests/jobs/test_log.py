"""A job that is followed: each line once, whatever becomes of the connection."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from automl_img.errors import HeadUnreachable, JobError
from automl_img.jobs import log as following
from automl_img.jobs.address import find_address
from automl_img.jobs.job import Job
from automl_img.jobs.log import follow, reason, stop, text_of

ABOVE = "INFO Runtime env is setting up.\nRunning entrypoint for job j: exec python\n"


class StubHead:
    """A head with one job.

    Attributes:
        connections: what comes on each, in pieces, and how it ends.
        statuses: one a question, the last one for ever.
    """

    def __init__(self, *connections: tuple[list[str], Exception | None], **kept: Any) -> None:
        self.address = find_address("http://127.0.0.1:9")
        self._connections = list(connections)
        self.statuses: list[str | Exception] = kept.get("statuses", ["RUNNING"])
        self._log: str = kept.get("log", "")
        self._message: str = kept.get("message", "")
        self.stops = 0

    def job(self, job_id: str) -> Job:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Exception):
            raise status
        return Job(job_id, status, 1.0, None, "", "mine", "/runs", "0.1.0", self._message)

    def tail(self, job_id: str, hear: Callable[[str], None]) -> None:
        pieces, end = self._connections.pop(0)
        for piece in pieces:
            hear(piece)
        if not self._connections:
            self.statuses = ["SUCCEEDED"]
        if end is not None:
            raise end

    def log(self, job_id: str) -> str:
        return self._log

    def stop(self, job_id: str) -> None:
        self.stops += 1


def lines_of(head: StubHead) -> tuple[Job, list[str]]:
    shown: list[str] = []
    return follow(head, "j", shown.append), shown  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_WAITS", (0.01,))
    monkeypatch.setattr(following, "_QUIET", 0.1)


def test_what_ray_prints_above_is_left_out_and_lines_are_whole() -> None:
    head = StubHead(([ABOVE[:20], ABOVE[20:] + "one\ntw", "o\nthree\n"], None))
    job, shown = lines_of(head)
    assert shown == ["one", "two", "three"]
    assert job.status == "SUCCEEDED"


def test_after_a_connection_that_broke_each_line_comes_once() -> None:
    lost = HeadUnreachable("lost")
    head = StubHead(
        ([ABOVE, "one\n", "tw"], lost),
        ([ABOVE + "one\ntwo\n"], lost),
        ([ABOVE, "one\ntwo\n3\n"], None),
    )
    assert lines_of(head)[1] == ["one", "two", "3"]


def test_a_connection_that_does_not_come_back_is_given_up_and_the_job_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "_PATIENCE", 0.2)
    head = StubHead(([ABOVE], None), statuses=[HeadUnreachable("gone")])
    with pytest.raises(HeadUnreachable, match="goes on there") as raised:
        lines_of(head)
    assert "automl-img jobs logs j --address http://127.0.0.1:9" in str(raised.value)
    assert head.stops == 0


def test_a_job_that_ended_in_silence_is_noticed() -> None:
    head = StubHead(([ABOVE], None), statuses=["RUNNING"])

    def silent(job_id: str, hear: Callable[[str], None]) -> None:
        head.statuses = ["FAILED"]
        import threading

        threading.Event().wait(30)

    head.tail = silent  # type: ignore[method-assign]
    assert lines_of(head)[0].status == "FAILED"


def test_a_job_that_is_over_is_not_stopped_again() -> None:
    head = StubHead(statuses=["SUCCEEDED"])
    assert stop(head, "j").status == "SUCCEEDED"  # type: ignore[arg-type]
    assert head.stops == 0


def test_a_job_that_does_not_stop_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_STOPPING", 0.1)
    head = StubHead(statuses=["RUNNING"])
    with pytest.raises(JobError, match="told to stop, but is still running"):
        stop(head, "j")  # type: ignore[arg-type]
    assert head.stops == 1


def test_the_text_so_far_begins_with_the_first_line_of_the_search() -> None:
    assert text_of(StubHead(log=ABOVE + "one\n"), "j") == "one\n"  # type: ignore[arg-type]
    assert text_of(StubHead(log=ABOVE[:20]), "j") == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "log", "says"),
    [
        (
            "runtime_env setup failed: ...\nERROR: Package 'automl-img' requires a different "
            "Python: 3.10.1 not in '<3.14,>=3.11'",
            "",
            "the Python of the nodes is 3.10.1, but this code takes 3.11, 3.12 or 3.13",
        ),
        ("exit code 1", "ModuleNotFoundError: No module named 'keras'\n", "has no module keras"),
        (
            "exit code 1",
            "RuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.59\n",
            "started with another version of Python or Ray",
        ),
        ("exit code 127", "/bin/sh: 1: exec: python: not found\n", "there is no Python of 3.11"),
        ("[Errno 2] No such file or directory: 'pip'", "", "there is no pip on the PATH"),
        ("exit code 1", "[1 s] looking ...\nerror: 'x' does not exist\n", "^'x' does not exist$"),
        ("The job supervisor died.", "", "^The job supervisor died.$"),
        ("", "", "^the head does not say why$"),
    ],
)
def test_why_a_job_failed_is_one_sentence(message: str, log: str, says: str) -> None:
    head = StubHead(statuses=["FAILED"], log=log, message=message)
    assert re.search(says, reason(head, head.job("j")))  # type: ignore[arg-type]
