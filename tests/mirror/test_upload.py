from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from automl_img.errors import DataError, Unreachable
from automl_img.mirror import snapshot, upload
from automl_img.mirror.driver import Hold, TakenOver
from automl_img.mirror.manifest import Manifest, Memory
from automl_img.mirror.snapshot import files_of
from automl_img.mirror.upload import Uploads
from automl_img.runs import Run
from automl_img.search import final
from automl_img.search.specs import WINNER
from tests.mirror.disk import URL, Disk
from tests.mirror.folders import (
    begin,
    check_can_go_on,
    new_run,
    record,
    save_checkpoint,
    searching,
    write,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path / "runs")


def uploads_of(run: Run, disk: Disk) -> Uploads:
    hold = Hold(disk, URL)
    hold.claim()
    return Uploads(disk, hold, run.path, Memory(URL, Manifest(hold.session)), ())


def there(disk: Disk) -> dict[str, bytes]:
    own = ("mirror.json", "driver.json")
    return {
        path.relative_to(disk.run).as_posix(): path.read_bytes()
        for path in disk.run.rglob("*")
        if path.is_file() and path.name not in own
    }


def here(run: Run) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of(run.path).items()}


@pytest.mark.parametrize("seed", range(3))
def test_what_is_at_the_url_at_any_instant_could_have_been_left_by_a_kill(
    run: Run, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng, copies = random.Random(seed), tmp_path / "copy"
    monkeypatch.setattr(upload, "_AT_ONCE", 1)
    looked = 0

    def look() -> None:
        nonlocal looked
        if (disk.run / "run.json").exists():
            looked += 1
            shutil.rmtree(copies, ignore_errors=True)
            shutil.copytree(disk.run, copies)
            check_can_go_on(copies)

    search = searching(run, seed)
    capture = snapshot._capture

    def capture_while_it_goes_on(*args: Any) -> Any:
        # The search does not wait for the upload.
        for _ in range(rng.choice((0,) * 8 + (1, 3))):
            next(search, None)
        return capture(*args)

    monkeypatch.setattr(snapshot, "_capture", capture_while_it_goes_on)
    disk.after = look
    uploads = uploads_of(run, disk)
    for _ in search:
        if rng.random() < 0.3 or run.info.get("status") == "begun":
            uploads.round()
    uploads.round(done=True)
    assert looked > 50
    found, kept = there(disk), here(run)
    assert found.pop("study.db")
    kept.pop("study.db")
    assert found == kept


def test_a_round_uploads_what_changed_and_removes_what_is_gone(run: Run, disk: Disk) -> None:
    uploads = uploads_of(run, disk)
    write(run, "space.yaml", "space")
    write(run, "predictions/test.npz", "predictions")
    uploads.round()
    assert there(disk) == here(run)
    disk.wrote.clear()
    uploads.round()
    assert not disk.wrote
    write(run, "space.yaml", "other")
    (run.path / "predictions" / "test.npz").unlink()
    uploads.round()
    assert there(disk) == here(run)
    assert dict(disk.wrote) == {"space.yaml": 1, "predictions/test.npz": 1, "mirror.json": 1}


def test_what_nobody_needs_elsewhere_stays_here(run: Run, disk: Disk) -> None:
    for name in (
        ".lock",
        ".best.npz",
        "trials/.x-abcdefgh.json",
        "ray/1/result.json",
        "study.db-wal",
    ):
        path = run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (run.path / "link.json").symlink_to("/etc/hostname")
    uploads_of(run, disk).round()
    assert [*there(disk)] == ["run.json"]


def test_a_line_that_is_half_written_waits_for_its_end(run: Run, disk: Disk) -> None:
    uploads = uploads_of(run, disk)
    path = run.path / "trials.jsonl"
    path.write_bytes(b'{"number": 1}\n{"num')
    uploads.round()
    assert there(disk)["trials.jsonl"] == b'{"number": 1}\n'
    path.write_bytes(b'{"number": 1}\n{"number": 2}\n')
    uploads.round()
    assert there(disk)["trials.jsonl"] == path.read_bytes()


def test_the_study_is_copied_whole_while_it_is_written(run: Run, disk: Disk) -> None:
    uploads, ending = uploads_of(run, disk), threading.Event()

    def keep_writing() -> None:
        with closing(sqlite3.connect(run.study)) as study:
            study.execute("PRAGMA journal_mode=WAL")
            study.execute("create table pairs (one integer, other integer)")
            number = 0
            while not ending.is_set():
                number += 1
                study.execute("insert into pairs values (?, ?)", (number, -number))
                study.commit()

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        rows = []
        while len(rows) < 5:
            uploads.round()
            with closing(sqlite3.connect(disk.run / "study.db")) as copy, suppress(sqlite3.Error):
                count, total = copy.execute(
                    "select count(*), sum(one + other) from pairs"
                ).fetchone()
                assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
                rows += [count] if not total else pytest.fail("half of a transaction")
    finally:
        ending.set()
        thread.join()
    assert rows == sorted(rows)
    assert rows[-1] > 0


def failing(times: int) -> Callable[[str], None]:
    """Raises from the ``times``-th write on, as often again."""
    seen = 0

    def before(name: str) -> None:
        nonlocal seen
        seen += 1
        if times <= seen < 2 * times:
            raise Unreachable("no answer")

    return before


@pytest.mark.parametrize("times", [1, 2, 4, 6])
def test_what_a_round_could_not_upload_the_next_ones_do(run: Run, disk: Disk, times: int) -> None:
    uploads = uploads_of(run, disk)
    for number in range(4):
        begin(run, number)
        save_checkpoint(run, number, 2)
        run.append_trial(record(number))
    disk.before = failing(times)
    with pytest.raises(DataError, match="no answer"):
        uploads.round()
    for _ in range(2 * times):
        with suppress(DataError):
            uploads.round()
    assert there(disk) == here(run)


def test_nothing_is_uploaded_once_another_drives_the_run(run: Run, disk: Disk) -> None:
    uploads = uploads_of(run, disk)
    uploads.round()
    other = Hold(disk, URL)
    other._sign()
    write(run, "space.yaml", "space")
    uploads._hold.renew()
    with pytest.raises(TakenOver, match=r"has ended, as .* goes on with s3://bucket/runs/run"):
        uploads.round()
    assert "space.yaml" not in there(disk)


def test_the_file_that_tells_whose_the_winner_is_has_the_name_that_the_search_gives_it() -> None:
    assert f"{WINNER}/{final._WHOSE}" == snapshot.WHOSE


def test_files_of_a_retraining_are_never_taken_for_those_of_the_next_one(
    run: Run, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = snapshot._capture
    final.prepare(run, record(1))
    write(run, "winner/classifier.keras", "of 1")

    def capture_and_swap(name: str, *args: Any) -> Any:
        found = capture(name, *args)
        if name == snapshot.WHOSE:
            final.prepare(run, record(2))
            write(run, "winner/classifier.keras", "of 2")
        return found

    uploads = uploads_of(run, disk)
    monkeypatch.setattr(snapshot, "_capture", capture_and_swap)
    uploads.round()
    assert not [name for name in there(disk) if name.startswith("winner/")]
    monkeypatch.setattr(snapshot, "_capture", capture)
    uploads.round()
    assert there(disk)["winner/classifier.keras"] == b"of 2"
