"""Searches on a Ray cluster that this machine is none of the nodes of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.api.runs import RUNS
from automl_img.api.spaces import load_space
from automl_img.events import Listener, ignore

if TYPE_CHECKING:
    from automl_img.jobs.client import Head
    from automl_img.jobs.job import Job
    from automl_img.runs import Run

# Trials of a job train on the nodes of its cluster.
CLUSTER = "auto"


def submit_search(
    data: str | Path | None = None,
    *,
    address: str | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Job:
    """Start a search on a Ray cluster with the code that runs here, and leave it to it.

    Args:
        data: a URL, a name, an absolute path that all nodes see, or a table here of URLs. A table
            and a space file are sent along, images are not.
        address: of the head's dashboard, ``"http://HOST:PORT"``; None takes that of
            RAY_API_SERVER_ADDRESS or RAY_ADDRESS, else port 8265 of this machine.
        settings: see ``automl_img.settings.SearchSettings``; paths are those of the nodes. Without
            ``out`` runs lie in ``~/automl-img/runs`` of the user whom the head runs as.

    Returns:
        The job as it began; ``follow_job`` waits for it.

    Raises:
        SettingsError: a setting cannot be, or the extra ``cluster`` is not installed; nothing was
            sent.
        DataError: the data are images of this machine.
        JobError: the head does not answer, or refuses.
    """
    from automl_img.jobs.command import search_command
    from automl_img.jobs.send import send
    from automl_img.settings import check

    asked = check(settings, data)
    load_space(asked.space, asked.search, asked.fixed)
    values = asked.model_dump(exclude_unset=True)
    values.setdefault("address", CLUSTER)
    command = search_command(asked, values)
    return send(_connect(address, listener), command)


def submit_resume(
    run: str,
    *,
    address: str | None = None,
    out: str | None = None,
    budget: str | None = None,
    workers: int | None = None,
    listener: Listener = ignore,
) -> Job:
    """Go on with a run of a Ray cluster.

    Args:
        run: its name, or its URL.
        address: see ``submit_search``.
        out: the folder of all run folders on the head, or its URL.
        budget, workers: see ``resume``.

    Returns:
        The job as it began.

    Raises:
        SettingsError, JobError: see ``submit_search``.
    """
    from automl_img.jobs.command import resume_command
    from automl_img.jobs.send import send

    asked = {"budget": budget, "workers": workers, "address": CLUSTER}
    command = resume_command(run, out, asked)
    return send(_connect(address, listener), command)


def list_jobs(*, address: str | None = None, listener: Listener = ignore) -> list[Job]:
    """The searches that were sent to a Ray cluster, the newest first.

    Raises:
        SettingsError, JobError: see ``submit_search``.
    """
    return _connect(address, listener).jobs()


def follow_job(
    job_id: str,
    *,
    show: Callable[[str], None],
    address: str | None = None,
    listener: Listener = ignore,
) -> Job:
    """Wait for a job, and hear what it prints.

    Args:
        job_id: of the job.
        show: is called with each line, from the first one on.

    Returns:
        The job, over.

    Raises:
        JobError: it failed or was stopped; the message says why.
        HeadUnreachable: the connection was lost for five minutes; the job goes on.
    """
    from automl_img.errors import JobError
    from automl_img.jobs.log import follow, reason
    from automl_img.jobs.send import resume_words

    head = _connect(address, listener)
    job = follow(head, job_id, show)
    if job.status == "STOPPED":
        raise JobError(
            f"the job {job_id} was stopped; what was trained is kept in {job.where}, go on with "
            f"{resume_words(job, head)}"
        )
    if job.status != "SUCCEEDED":
        raise JobError(f"the job {job_id} failed: {reason(head, job)}")
    return job


def job_log(job_id: str, *, address: str | None = None, listener: Listener = ignore) -> str:
    """All that a job has printed so far.

    Raises:
        SettingsError, JobError: see ``submit_search``.
    """
    from automl_img.jobs.log import text_of

    head = _connect(address, listener)
    return text_of(head, head.job(job_id).id)


def stop_job(job_id: str, *, address: str | None = None, listener: Listener = ignore) -> Job:
    """End a job; its run stays where it is, and ``submit_resume`` goes on with it.

    Returns:
        The job, over; one that was over before is left as it is.

    Raises:
        JobError: there is no such job, or it does not end.
    """
    from automl_img.jobs.log import stop

    return stop(_connect(address, listener), job_id)


def fetch_job(
    job_id: str,
    *,
    out: str | Path = RUNS,
    address: str | None = None,
    listener: Listener = ignore,
) -> Run:
    """Bring the run of a job that is over into ``out``, whole or not at all.

    Checkpoints of trials stay where they are. A run at a URL is read with the credentials of this
    machine.

    Raises:
        RunError: ``out`` has a run of that name, or cannot be written.
        JobError: the job still runs, has left no run, or its URL cannot be read from here.
    """
    from automl_img.jobs.fetch import fetch
    from automl_img.jobs.send import runtime_env

    head = _connect(address, listener)
    with tempfile.TemporaryDirectory(prefix="automl-img-") as place:
        return fetch(head, head.job(job_id), Path(out), runtime_env(Path(place)))


def _connect(typed: str | None, listener: Listener) -> Head:
    from automl_img.jobs.client import connect

    return connect(typed, listener)
