"""Copies of one run on two machines, and which of them counts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from automl_img.errors import DataError, RunError
from automl_img.events import Event, Notice, ignore
from automl_img.mirror import download
from automl_img.mirror.copies import forget_unused
from automl_img.mirror.driver import Hold
from automl_img.mirror.manifest import MANIFEST, Memory
from automl_img.mirror.settle import remembered, settle
from automl_img.mirror.snapshot import changed_since, files_of
from automl_img.mirror.upload import Uploads
from automl_img.runs import Run
from tests.mirror.disk import URL, Disk
from tests.mirror.folders import begin, new_run, record, write


class Machine:
    """One that drives the run, in sessions."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.copy = Run(folder / "run", URL)
        self.disk = disk
        self.said: list[str] = []
        folder.mkdir(parents=True)

    def session(self, number: int, upload: bool = True) -> None:
        """Go on with the run, and train the trial ``number``."""
        hold = Hold(self.disk, URL)
        known = remembered(self.copy)
        hold.claim(known.sent.session if known else None)
        memory = settle(self.disk, self.copy, hold.session, self._hear)
        self.uploads = Uploads(self.disk, hold, self.copy.path, memory, files_there(self.disk))
        sessions = self.copy.info["sessions"]
        self.copy.update_info(sessions=[*sessions, [float(number), None]])
        self.uploads.round()
        begin(self.copy, number)
        self.copy.append_trial(record(number))
        if upload:
            self.uploads.round(done=True)
        hold.release()

    @property
    def trials(self) -> list[int]:
        return [each.number for each in self.copy.trials()]

    def _hear(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.said.append(event.text)


def files_there(disk: Disk) -> list[str]:
    return [*download.files_at(disk, URL)]


def trials_there(disk: Disk) -> list[int]:
    return [each.number for each in Run(disk.run).trials()]


@pytest.fixture
def here(tmp_path: Path, disk: Disk) -> Machine:
    """A machine that has begun the run."""
    machine = Machine(tmp_path / "here", disk)
    new_run(machine.copy.path.parent)
    machine.session(0)
    return machine


@pytest.fixture
def other(tmp_path: Path, disk: Disk) -> Machine:
    return Machine(tmp_path / "other", disk)


def test_a_machine_without_a_copy_fetches_all_of_it_with_its_times(
    here: Machine, other: Machine
) -> None:
    write(here.copy, "predictions/test.npz", b"\0" * 1000)
    here.session(1)
    other.session(2)
    assert other.trials == trials_there(other.disk) == [0, 1, 2]
    for name, path in files_of(other.copy.path).items():
        if name not in ("run.json", "trials.jsonl", "started.jsonl"):
            own = here.copy.path / name
            assert path.read_bytes() == own.read_bytes()
            assert path.stat().st_mtime_ns == own.stat().st_mtime_ns


def test_a_copy_that_others_went_on_from_is_replaced_without_a_word(
    here: Machine, other: Machine
) -> None:
    other.session(1)
    # A report is written anew at any time.
    write(here.copy, "report.html", "another")
    here.session(2)
    assert here.trials == trials_there(here.disk) == [0, 1, 2]
    assert here.said == []
    assert [path.name for path in here.copy.path.parent.iterdir()] == ["run"]


def test_what_was_not_uploaded_goes_on_where_nobody_else_did(here: Machine) -> None:
    here.session(1, upload=False)
    assert trials_there(here.disk) == [0]
    here.session(2)
    assert here.trials == trials_there(here.disk) == [0, 1, 2]


def test_where_both_went_on_the_url_counts_and_what_was_here_is_kept(
    here: Machine, other: Machine
) -> None:
    here.session(1, upload=False)
    other.session(2)
    other.session(3)
    here.session(4)
    assert here.trials == trials_there(here.disk) == [0, 2, 3, 4]
    [kept] = [p for p in here.copy.path.parent.iterdir() if p.name.startswith("run.kept-")]
    assert [each.number for each in Run(kept).trials()] == [0, 1]
    assert len(here.said) == 1
    assert str(kept) in here.said[0]


def test_what_another_has_begun_to_upload_is_uploaded_anew(here: Machine, other: Machine) -> None:
    here.session(1, upload=False)

    def killed(name: str) -> None:
        if name == "started.jsonl":
            raise KeyboardInterrupt

    other.disk.before = killed
    with pytest.raises(KeyboardInterrupt):
        other.session(2)
    other.disk.before = lambda name: None
    shutil.rmtree(other.copy.path)
    (other.disk.run / "driver.json").unlink()
    # Of the same size, so that nothing but its session tells.
    other.disk.write((here.disk.run / "trials.jsonl").read_bytes()[::-1], f"{URL}/trials.jsonl")
    here.session(3)
    assert trials_there(here.disk)[-1] == 3


def test_a_run_whose_url_lost_it_is_uploaded_again(here: Machine) -> None:
    shutil.rmtree(here.disk.run)
    here.session(1)
    assert trials_there(here.disk) == [0, 1]
    memory = Memory.of(here.copy.path)
    assert memory is not None
    assert not changed_since(here.copy.path, memory.signatures)


def test_a_download_that_fails_leaves_nothing(
    here: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise DataError("no answer")

    monkeypatch.setattr(other.disk, "download", fail)
    with pytest.raises(DataError, match="no answer"):
        settle(other.disk, other.copy, "session", ignore)
    assert [*other.copy.path.parent.iterdir()] == []


@pytest.mark.parametrize("name", ["a/../../../evil", "..", "a/./b", "a\\b", "n" * 300])
def test_names_that_lead_out_are_refused_and_write_nothing(
    here: Machine, other: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = here.disk.files

    def hostile(folder: str) -> list[object]:
        found = files(folder)
        return [*found, download.dataclasses.replace(found[0], name=name)]

    monkeypatch.setattr(here.disk, "files", hostile)
    with pytest.raises(RunError, match="a run folder has no file"):
        settle(here.disk, other.copy, "session", ignore)
    assert [*other.copy.path.parent.iterdir()] == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"files": []}',
        b'{"files": {"run.json": [1, 1e400]}, "session": 1}',
        b'{"files": {"run.json": [1, 99999999999999999999]}, "session": 1}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_list_of_what_is_there_is_done_without(
    here: Machine, other: Machine, content: bytes
) -> None:
    (here.disk.run / MANIFEST).write_bytes(content)
    other.session(1)
    assert other.trials == trials_there(other.disk) == [0, 1]
    assert json.loads((here.disk.run / MANIFEST).read_text())["session"] != "1"


def test_a_run_that_does_not_fit_is_refused(
    here: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def huge(folder: str) -> list[object]:
        return [download.RemoteFile(f"{folder}/run.json", "run.json", 10**18, "")]

    monkeypatch.setattr(here.disk, "files", huge)
    with pytest.raises(RunError, match=r"takes 1,000,000,000,000 MB, but .* MB are left"):
        settle(here.disk, other.copy, "session", ignore)


def test_copies_that_nobody_used_for_a_month_leave_but_none_that_its_url_lacks(
    disk: Disk, private_cache: Path
) -> None:
    machine = Machine(private_cache / "runs" / "key", disk)
    new_run(machine.copy.path.parent)
    machine.session(0)
    read = private_cache / "runs" / "key" / ".read" / "run"
    read.mkdir(parents=True)
    copies = {machine.copy.path: ".mirror.json", read: ".fetched.json"}
    (read / ".fetched.json").write_text("{}")
    forget_unused()
    assert all(path.exists() for path in copies)
    for path, name in copies.items():
        os.utime(path / name, (1e9, 1e9))
    write(machine.copy, "test.json", "{}")
    forget_unused()
    assert [path.exists() for path in copies] == [True, False]
    (machine.copy.path / "test.json").unlink()
    forget_unused()
    assert not machine.copy.path.exists()
