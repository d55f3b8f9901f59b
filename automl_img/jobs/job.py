"""A search on a cluster, as its head tells of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automl_img.data.urls import is_url

# What the head keeps of a job beside its command, by these names.
VERSION, RUN, OUT, COMMAND = (f"automl_img.{key}" for key in ("version", "run", "out", "command"))
# On the head: the folder of all run folders, which outlives the folder that a job runs in; and the
# place of the files that are sent, below that.
RUNS, FILES = "~/automl-img/runs", "files"
OVER = ("SUCCEEDED", "FAILED", "STOPPED")
_PLAIN = re.compile(r"[^./\\:*?\"<>|\0\n][^/\\:*?\"<>|\0\n]{0,99}")


@dataclass(frozen=True)
class Job:
    """
    Attributes:
        id: names it on its head.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        started, ended: seconds since 1970, UTC, by the clock of the head; None before.
        command: what runs, as typed after ``automl-img``.
        run: the name of the run.
        out: the folder of all run folders on the head, which may begin with ``~``; or its URL.
        version: of automl-img, which was sent along.
        message: what the head says of its end.
    """

    id: str
    status: str
    started: float | None
    ended: float | None
    command: str
    run: str
    out: str
    version: str
    message: str

    @property
    def over(self) -> bool:
        """Whether it has ended, however."""
        return self.status in OVER

    @property
    def folder(self) -> str:
        """The run folder on the head, or its URL."""
        return f"{self.out.rstrip('/')}/{self.run}"

    @property
    def is_at_url(self) -> bool:
        """Whether ``folder`` is one."""
        return is_url(self.out)

    @property
    def where(self) -> str:
        """Where its run is, to be read."""
        return self.folder if self.is_at_url else f"{self.folder} on the head"


def is_run_name(name: str) -> bool:
    """Whether ``name`` is that of one folder, wherever it comes from."""
    return _PLAIN.fullmatch(name) is not None


def job_of(details: Any) -> Job | None:
    """The job that Ray's ``JobDetails`` tell of; None for one that is not of this package."""
    kept: Mapping[str, str] = details.metadata or {}
    if not is_run_name(kept.get(RUN, "")) or not details.submission_id:
        return None
    started, ended = (each and each / 1000 for each in (details.start_time, details.end_time))
    return Job(
        id=details.submission_id,
        status=str(getattr(details.status, "value", details.status)),
        started=started,
        ended=ended,
        command=kept.get(COMMAND, ""),
        run=kept[RUN],
        out=kept.get(OUT, ""),
        version=kept.get(VERSION, ""),
        message=details.message or "",
    )
