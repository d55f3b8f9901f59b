"""A run that is fetched: packed without what is of no use here, unpacked whole and safely."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from automl_img.errors import JobError, RunError
from automl_img.jobs import fetch as fetching
from automl_img.jobs.address import find_address
from automl_img.jobs.fetch import fetch, unpack
from automl_img.jobs.job import Job
from automl_img.jobs.pack import write_archive
from automl_img.runs import Run
from tests.data.servers import Bucket
from tests.report.golden import golden_run


class StubHead:
    """A head with one run, whose packing prints what a real one does."""

    def __init__(self, log: bytes, status: str = "RUNNING", message: str = "") -> None:
        self.address = find_address("http://127.0.0.1:9")
        self._log, self._status, self._message = log, status, message
        self.stopped = 0

    def submit(self, *_: Any) -> None:
        pass

    def status(self, _: str) -> tuple[str, str]:
        return self._status, self._message

    def log(self, _: str) -> str:
        return self._log.decode(errors="replace")

    def stop(self, _: str) -> None:
        self.stopped += 1

    @contextmanager
    def raw_log(self, _: str, lines: int) -> Iterator[Iterator[bytes]]:
        log = self._log if lines == -1 else self._log.splitlines(keepends=True)[-1]
        # Pieces that end in the midst of everything.
        yield (log[at : at + 7] for at in range(0, len(log), 7))


def packed(run: Run) -> bytes:
    """The log of a job that packs ``run``."""
    stream = io.BytesIO()
    stream.write(b"INFO Runtime env is setting up.\nRunning entrypoint for job x: pack\n")
    write_archive(run, stream)
    return stream.getvalue()


def job(status: str = "SUCCEEDED", out: str = "/not/here", started: float = 1.0) -> Job:
    return Job("automl-img-1", status, started, started + 9, "", "golden", out, "0.1.0", "")


def bring(head: StubHead, out: Path, of: Job | None = None) -> Run:
    return fetch(head, of or job(), out, {})  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One with what stays on the head: checkpoints, files of Ray, locks."""
    made = golden_run(tmp_path / "head")
    for name in ("trials/00001/checkpoint.keras", "ray/session/state", ".lock", ".run-abcdefgh"):
        (made.path / name).parent.mkdir(parents=True, exist_ok=True)
        (made.path / name).write_text("stays")
    (made.path / "model.keras").write_bytes(os.urandom(100_000) + b"\nautoml-img archive\n")
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_run_comes_whole_without_checkpoints_and_nothing_lies_beside(
    run: Run, tmp_path: Path
) -> None:
    head, out = StubHead(packed(run)), tmp_path / "runs"
    found = bring(head, out)
    there = {name: data for name, data in files(run.path).items() if data != b"stays"}
    assert files(found.path) == there
    assert found.path == out / "golden"
    assert [path.name for path in out.iterdir()] == ["golden"]
    # The head would keep the archive in its log.
    assert head.stopped == 1


def test_a_run_that_is_here_already_is_left_alone(run: Run, tmp_path: Path) -> None:
    bring(StubHead(packed(run)), tmp_path / "runs")
    before = files(tmp_path / "runs")
    with pytest.raises(RunError, match="has a run golden already"):
        bring(StubHead(packed(run)), tmp_path / "runs")
    assert files(tmp_path / "runs") == before


def test_a_job_that_still_runs_is_not_fetched(run: Run, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="once its job is over, but automl-img-1 is running"):
        bring(StubHead(packed(run)), tmp_path / "runs", job("RUNNING"))


def damaged(log: bytes) -> bytes:
    at = log.rindex(b"\nautoml-img end") - 100
    return log[:at] + bytes([log[at] ^ 1]) + log[at + 1 :]


def cut(log: bytes) -> bytes:
    at = log.rindex(b"\nautoml-img end")
    return log[: at - 100] + log[at:]


def without_sense(log: bytes) -> bytes:
    at = log.rindex(b"automl-img end")
    return log[:at] + b'automl-img end {"bytes": -1, "sha256": "x"}\n'


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damaged, "came damaged"),
        (cut, "came damaged"),
        (without_sense, "no run of automl-img of a sound size"),
    ],
)
def test_what_did_not_come_whole_leaves_nothing(
    run: Run, tmp_path: Path, spoil: Callable[[bytes], bytes], says: str
) -> None:
    head, out = StubHead(spoil(packed(run))), tmp_path / "runs"
    with pytest.raises(JobError, match=says):
        bring(head, out)
    assert list(out.iterdir()) == []
    assert head.stopped == 1


def test_why_a_run_cannot_be_packed_is_said(tmp_path: Path) -> None:
    head = StubHead(b"Running ...\nerror: there is no run 'golden' in /runs\n", "FAILED", "exit 1")
    with pytest.raises(JobError, match="cannot be fetched: there is no run 'golden' in /runs"):
        bring(head, tmp_path / "runs")


def test_a_run_on_storage_that_is_seen_here_is_copied(run: Run, tmp_path: Path) -> None:
    started = run.info["started"]
    head = StubHead(b"")
    found = bring(head, tmp_path / "runs", job(out=str(run.path.parent), started=started))
    assert "trials.jsonl" in files(found.path)
    assert not (found.path / "trials").exists()


def test_a_run_at_a_url_is_read_from_there_alone(run: Run, tmp_path: Path, bucket: Bucket) -> None:
    bucket.put_folder(run.path, "runs/golden")
    bucket.put("runs/golden/driver.json", b"{}")
    # The head is not asked: it has nothing.
    found = bring(StubHead(b""), tmp_path / "runs", job(out=bucket.url("runs").rstrip("/")))
    assert files(found.path) == {k: v for k, v in files(run.path).items() if v != b"stays"}
    with pytest.raises(RunError, match="has a run golden already"):
        bring(StubHead(b""), tmp_path / "runs", job(out=bucket.url("runs")))
    with pytest.raises(JobError, match=r"elsewhere/golden is not a run folder: .* jobs fetch"):
        bring(StubHead(b""), tmp_path / "none", job(out=bucket.url("elsewhere")))
    assert list((tmp_path / "none").iterdir()) == []


def test_a_url_that_cannot_be_read_from_here_is_said_with_what_to_do(
    run: Run, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_folder(run.path, "runs/golden")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    url = bucket.url("runs/golden")
    says = (
        rf"^the run of automl-img-1 is at {url}, which cannot be read from here: .*no credentials"
    )
    with pytest.raises(JobError, match=says) as refused:
        bring(StubHead(b""), tmp_path / "runs", job(out=bucket.url("runs")))
    assert "then: automl-img jobs fetch automl-img-1" in str(refused.value)
    assert list((tmp_path / "runs").iterdir()) == []


def test_another_run_of_that_name_that_lies_here_is_not_taken(run: Run, tmp_path: Path) -> None:
    other = golden_run(tmp_path / "mine")
    (other.path / "other.txt").write_text("mine")
    later = job(out=str(other.path.parent), started=run.info["started"] + 3600)
    found = bring(StubHead(packed(run)), tmp_path / "runs", later)
    assert not (found.path / "other.txt").exists()


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    stream.seek(0)
    return stream


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../out.txt"),
        member("a/../../out.txt"),
        member("/tmp/out.txt"),
        member("c:\\out.txt"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "run.json"),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type!r}",
)
def test_members_that_no_run_has_are_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    folder = tmp_path / "deep" / "run"
    folder.mkdir(parents=True)
    with pytest.raises(JobError, match="plain files alone"):
        unpack(tar_of((bad, b"")), folder, 100)
    assert files(tmp_path) == {}


def test_what_unpacks_to_more_than_a_run_has_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ALWAYS_FINE", 10_000)
    dense = tar_of((member("a"), bytes(9_000)), (member("b"), bytes(9_000_000)))
    with pytest.raises(JobError, match="200 times what is sent"):
        unpack(dense, tmp_path, len(dense.getvalue()))
    assert set(files(tmp_path)) == {"a"}
    monkeypatch.setattr(fetching, "MAX_MEMBERS", 2)
    many = tar_of(*((member(str(number)), b"") for number in range(3)))
    with pytest.raises(JobError, match="at most 2 files"):
        unpack(many, tmp_path / "many", 100)


def test_a_process_that_packs_empties_its_log_when_it_is_told_to_end(
    run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    words = [sys.executable, "-m", "automl_img.jobs.pack", str(run.path.parent), "golden"]
    with log.open("ab") as stream:
        packing = subprocess.Popen(words, stdout=stream)
    try:
        deadline = time.monotonic() + 30
        while b"\nautoml-img end " not in log.read_bytes():
            assert packing.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        said = json.loads(log.read_bytes().rpartition(b"automl-img end ")[2])
        assert said["bytes"] > 100_000
        packing.send_signal(signal.SIGTERM)
        assert packing.wait(timeout=20) == 0
    finally:
        packing.kill()
        packing.wait()
    assert log.read_bytes() == b""


def test_a_run_with_a_link_is_not_packed(run: Run) -> None:
    (run.path / "link").symlink_to("/etc/passwd")
    with pytest.raises(RunError, match="a run folder has no links"):
        packed(run)
