"""A command and the code that runs it, sent to the head of a cluster."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

import automl_img
from automl_img.errors import JobError
from automl_img.jobs.client import Head
from automl_img.jobs.command import Command
from automl_img.jobs.job import COMMAND, OUT, RUN, RUNS, VERSION, Job
from automl_img.jobs.package import build_wheel

# Seconds that a job has to end by itself, of which Ray's own default are 3.
STOP_SECONDS = 60
# As pyproject.toml has it.
_RAY, _RAY_WORDS = (2, 60), "2.60 or later, below 3"


def send(head: Head, command: Command) -> Job:
    """Start ``command`` on the head with the code that runs here.

    Raises:
        JobError: the head does not answer, refuses, or runs a Ray that this code does not know.
    """
    found = re.match(r"(\d+)\.(\d+)", head.ray_version)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if not _RAY <= version < (3, 0):
        raise JobError(
            f"the Ray of the head must be {_RAY_WORDS}, but {head.address.url} runs "
            f"{head.ray_version}; start the cluster with such a version"
        )
    job_id = f"automl-img-{uuid.uuid4().hex[:8]}"
    words = shlex.join(command.shown)
    kept = {VERSION: automl_img.__version__, RUN: command.run, OUT: command.out, COMMAND: words}
    with tempfile.TemporaryDirectory(prefix="automl-img-") as place:
        environment = runtime_env(Path(place))
        # Without a folder of its own a job runs where the head was started, among other files.
        folder = Path(place) / "job"
        folder.mkdir()
        (folder / "command.txt").write_text(words + "\n", encoding="utf-8")
        for name, path in command.files.items():
            (folder / name).parent.mkdir(parents=True)
            shutil.copyfile(path, folder / name)
        environment["working_dir"] = str(folder)
        # -P: what lies in the folder that a job runs in is never imported.
        entrypoint = f"exec python -P -m automl_img.jobs.start {shlex.join(command.words)}"
        head.submit(job_id, entrypoint, environment, kept)
    return head.job(job_id)


def runtime_env(place: Path) -> dict[str, Any]:
    """What Ray needs to run our code on a node.

    Args:
        place: a folder for the wheel, which must last until it is sent.
    """
    return {
        "py_modules": [str(build_wheel(place))],
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)},
    }


def resume_words(job: Job, head: Head) -> str:
    """What has to be typed to go on with the run of ``job``."""
    out = "" if job.out == RUNS else f" --out {shlex.quote(job.out)}"
    return f"automl-img submit{head.address.option} -- resume {job.run}{out}"
