"""A run of the head, brought here whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import tarfile
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from automl_img.data.filesystems import FileSystems
from automl_img.errors import DataError, JobError, RunError
from automl_img.files import disk_is_full
from automl_img.jobs.client import Head
from automl_img.jobs.job import OVER, Job
from automl_img.jobs.log import reason
from automl_img.jobs.pack import BEGIN, END, is_fetched, member_files
from automl_img.mirror.download import FETCHED, NoRun, fetch_files
from automl_img.runs import Run, open_run, refuse_links

# Of an archive: what no run has.
MAX_BYTES, MAX_MEMBERS, MAX_RATIO = 100 * 10**9, 1_000_000, 200
# Below this many bytes it may be as dense as it likes.
_ALWAYS_FINE = 10**9
# Seconds between questions whether the archive is there.
_POLL = 0.5


def fetch(head: Head, job: Job, out: Path, runtime_env: dict[str, Any]) -> Run:
    """Bring the run of ``job`` into ``out``. Checkpoints of trials stay where they are.

    Args:
        runtime_env: has the code that packs it on the head.

    Raises:
        RunError: there is a run of that name in ``out``, or it cannot be written there.
        JobError: the job still runs, has left no run, its URL cannot be read from here, or what
            came is not sound.
    """
    if not job.over:
        raise JobError(
            f"a run can be fetched once its job is over, but {job.id} is {job.status.lower()}; "
            f"wait for it (automl-img jobs logs {job.id}{head.address.option}) or stop it"
        )
    _check_free(out, job.run)
    try:
        with _placed(out, job.run) as folder:
            if job.is_at_url:
                _from_url(head, job, folder)
            elif seen := _seen_here(job):
                _copy(seen, folder)
            else:
                _download(head, job, folder, runtime_env)
            open_run(folder)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        why = "the disk is full" if disk_is_full(error) else str(error)
        raise RunError(f"the run {job.run} cannot be written to {out}: {why}") from None
    return open_run(out / job.run)


def _check_free(out: Path, name: str) -> None:
    if (out / name).exists():
        raise RunError(f"{out} has a run {name} already, which stays as it is; name another folder")


@contextmanager
def _placed(out: Path, name: str) -> Iterator[Path]:
    """A folder that becomes ``out/name`` where the block succeeds."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=out) as place:
        # One deeper, where nobody looks for runs.
        folder = Path(place) / name
        folder.mkdir()
        yield folder
        _check_free(out, name)
        folder.rename(out / name)


def _from_url(head: Head, job: Job, folder: Path) -> None:
    """Fetch it with the credentials of this machine; the head has no part in it."""
    try:
        fetch_files(FileSystems(), job.folder, folder, is_fetched)
    except (DataError, NoRun) as error:
        raise JobError(
            f"the run of {job.id} is at {job.folder}, which cannot be read from here: {error}; "
            f"mend that, then: automl-img jobs fetch {job.id}{head.address.option}"
        ) from None
    (folder / FETCHED).unlink()


def _seen_here(job: Job) -> Run | None:
    """The run, where its folder is one of this machine too; one of the same name that began at
    another time is another one."""
    run = Run(Path(job.folder).expanduser())
    with suppress(RunError, TypeError, OSError):
        started = float(run.info["started"])
        if job.started is not None and job.started - 1 <= started <= (job.ended or started):
            return run
    return None


def _copy(run: Run, folder: Path) -> None:
    refuse_links(run)
    for path in member_files(run):
        target = folder / path.relative_to(run.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _download(head: Head, job: Job, folder: Path, runtime_env: dict[str, Any]) -> None:
    job_id = f"automl-img-fetch-{uuid.uuid4().hex[:8]}"
    words = shlex.join([job.out, job.run])
    head.submit(job_id, f"exec python -P -m automl_img.jobs.pack {words}", runtime_env, {})
    try:
        said = _wait_for_archive(head, job, job_id)
        with tempfile.TemporaryFile(dir=folder.parent) as archive:
            _receive(head, job_id, said, archive)
            archive.seek(0)
            unpack(archive, folder, said["bytes"])
    finally:
        # It empties its log then.
        with suppress(JobError):
            head.stop(job_id)


def _wait_for_archive(head: Head, job: Job, job_id: str) -> dict[str, Any]:
    """Size and digest of the archive, once all of it is there."""
    while True:
        status, message = head.status(job_id)
        if status in OVER:
            packing = Job(job_id, status, None, None, "", job.run, job.out, "", message)
            raise JobError(f"the run of {job.id} cannot be fetched: {reason(head, packing)}")
        if status == "RUNNING":
            with head.raw_log(job_id, 1) as pieces:
                last = b"".join(pieces)
            if last.startswith(END):
                return _said(last)
        time.sleep(_POLL)


def _said(line: bytes) -> dict[str, Any]:
    found = re.fullmatch(
        rb'\{"bytes": (\d{1,15}), "sha256": "([0-9a-f]{64})"\}\n', line[len(END) :]
    )
    if found is None or int(found[1]) > MAX_BYTES:
        raise JobError("what the head sends is no run of automl-img of a sound size; try again")
    return dict(json.loads(line[len(END) :]))


def _receive(head: Head, job_id: str, said: dict[str, Any], archive: BinaryIO) -> None:
    """Write the archive out of the log, whole, or raise."""
    mark = b"\n" + BEGIN
    before: bytes | None = b""
    left, digest = said["bytes"], hashlib.sha256()
    with head.raw_log(job_id, -1) as pieces:
        for piece in pieces:
            if before is not None:
                before += piece
                at = before.find(mark)
                if at < 0:
                    continue
                piece, before = before[at + len(mark) :], None
            piece = piece[:left]
            archive.write(piece)
            digest.update(piece)
            left -= len(piece)
            if not left:
                break
    if left or digest.hexdigest() != said["sha256"]:
        raise JobError(
            f"the run came damaged from {head.address.url}, or not whole; fetch it again: "
            "automl-img jobs list names its job"
        )


def unpack(archive: BinaryIO, folder: Path, packed: int) -> None:
    """Write the files of a gzipped tar file below ``folder``.

    Args:
        packed: bytes of the archive.

    Raises:
        JobError: it has links, devices, names that lead out of it, or more than a run has.
    """
    total = 0
    with tarfile.open(fileobj=archive, mode="r:gz") as opened:
        for count, member in enumerate(opened, start=1):
            total += member.size
            dense = total > _ALWAYS_FINE and total > MAX_RATIO * packed
            if count > MAX_MEMBERS or total > MAX_BYTES or dense:
                raise JobError(
                    f"a run must have at most {MAX_MEMBERS:,} files and {MAX_BYTES / 1e9:.0f} GB, "
                    f"{MAX_RATIO} times what is sent, but this one has more; copy it by hand"
                )
            _check(member)
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            content = opened.extractfile(member)
            with target.open("xb") as stream:
                shutil.copyfileobj(content, stream, 1 << 20)  # type: ignore[arg-type]


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    odd = path.is_absolute() or ".." in path.parts or not path.parts
    if not member.isfile() or odd or set(member.name) & set("\\:\0"):
        raise JobError(
            f"a run has plain files alone, but what the head sent has {member.name!r}; nothing was "
            "kept of it"
        )
