"""Disks that are full, on a real small file system."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from automl_img import resume
from automl_img.errors import RunError
from automl_img.events import Event, TrialEnded
from automl_img.files import append_json_line, disk_is_full, write_json
from automl_img.runs import Run
from automl_img.search import disk
from automl_img.search.sampler import Sampler
from tests.pictures import class_folders
from tests.search.searches import small_search
from tests.search.spaces import epoch, space


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many megabytes; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this user may not mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Write a file that leaves so many bytes."""
    ballast = folder / "ballast"
    with ballast.open("wb") as stream:
        size = max(0, disk.free_bytes(folder) - leave)
        os.posix_fallocate(stream.fileno(), 0, max(1, size))
    return ballast


@contextmanager
def full(folder: Path) -> Iterator[None]:
    ballast = fill(folder)
    yield
    ballast.unlink()


def test_a_run_for_which_there_is_no_room_does_not_start(
    small_disk: Callable[[int], Path], photos: Path
) -> None:
    out = small_disk(10) / "runs"
    with pytest.raises(
        RunError, match=r"needs about \d+ MB of free disk, but there are \d+ MB left"
    ):
        small_search(photos, out)
    assert not (out / "run").exists()


def test_a_full_disk_is_recognised_whoever_writes(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(2)
    sampler = Sampler(folder / "study.db", space({"head.dropout": "0..0.5"}), "random", 0)
    lines = folder / "lines.jsonl"
    append_json_line(lines, {"whole": True})
    before = lines.read_bytes()
    with full(folder):
        errors = [
            raised(lambda: write_json(folder / "run.json", {"a": "b" * 10_000})),
            raised(lambda: append_json_line(lines, {"a": "b" * 10_000})),
            raised(lambda: [asked(sampler, number) for number in range(500)]),
        ]
    assert all(map(disk_is_full, errors)), errors
    assert not disk_is_full(ValueError("no space in this name"))
    # What was whole is whole, and the study goes on.
    assert lines.read_bytes().startswith(before)
    assert not (folder / "run.json").exists()
    assert Sampler(folder / "study.db", sampler.space, "random", 0).ask(999) is not None


def raised(write: Callable[[], object]) -> BaseException:
    try:
        write()
    except Exception as error:
        return error
    raise AssertionError("the disk was to be full")


def asked(sampler: Sampler, number: int) -> None:
    suggestion = sampler.ask(number)
    assert suggestion is not None
    sampler.report(suggestion.number, epoch(1, 0.5))


class FillsUp:
    """Fills a disk when the first trial has ended, and leaves a little."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ballast: Path | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrialEnded) and self.ballast is None:
            self.ballast = fill(self._folder, leave=30_000)


@pytest.mark.slow
def test_a_run_whose_disk_fills_up_stops_in_a_sentence_and_goes_on_once_there_is_room(
    small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    photos = class_folders(tmp_path / "photos", per_class=40)
    folder = small_disk(150)
    listener, out = FillsUp(folder), folder / "runs"
    with pytest.raises(RunError, match=r"disk of the run .* is full, and the run needs about \d+"):
        small_search(photos, out, listener, budget=6, name="run")
    before = [record.number for record in Run(out / "run").trials()]
    assert before
    assert listener.ballast is not None
    listener.ballast.unlink()
    run = resume("run", out=out)
    numbers = [start.number for start in run.starts()]
    assert all(numbers.count(number) == 1 for number in before)
    assert len(run.trials()) == 6
    assert run.model.exists()
    assert run.report.exists()


# What fits depends on the length of the paths, which are longer beside other test processes.
@pytest.mark.alone
@pytest.mark.slow
def test_a_full_disk_of_the_cache_is_named_and_the_run_goes_on_once_there_is_room(
    small_disk: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = class_folders(tmp_path / "photos", per_class=40)
    folder = small_disk(1)
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(folder / "cache"))
    # Enough for what the images look like, and not for their pixels.
    ballast, out = fill(folder, leave=60_000), tmp_path / "runs"
    with pytest.raises(RunError, match=r"disk of the cache .* is full.* automl-img resume run"):
        small_search(photos, out, budget=2, name="run")
    before = Run(out / "run").trials()
    assert len(before) == 2
    ballast.unlink()
    run = resume("run", out=out)
    assert run.trials() == before
    assert run.model.exists()
