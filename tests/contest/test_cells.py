"""Every cell gets its time and no more, and is scored by what it left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

# Seconds; a Python has to start within them, and another that it starts.
BUDGET = 6.0
# A child in a process group of its own, which outlives what started it.
STAYS = (
    "import os, time; os.setpgid(0, 0); open('new', 'w').write(str(os.getpid())); "
    "os.rename('new', 'child'); time.sleep(60)"
)


def script(contest: SimpleNamespace, train: str, predict: str = "") -> Any:
    """A system of two scripts; each finds the folder of its cell as FOLDER."""

    def command(code: str) -> Callable[[Any], list[str]]:
        start = "import os, sys; FOLDER = sys.argv[1]; os.chdir(FOLDER); "
        return lambda task: [sys.executable, "-c", start + code, task.folder]

    return contest.task.System("script", start=command(train), predict=command(predict))


def is_over(process: int) -> bool:
    """Whether a process is gone, or only waits for its parent to read how it ended."""
    try:
        return bool(psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_cell_is_killed_at_its_budget_with_all_that_it_started(
    contest: SimpleNamespace, tmp_path: Path
) -> None:
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {STAYS!r}]); "
    code = f"import os; os.chdir({str(tmp_path)!r}); {code} time.sleep(60)"
    command = [sys.executable, "-c", code]
    seconds, ended = contest.cells.timed(command, BUDGET, dict(os.environ), tmp_path)
    assert ended == "killed at the budget"
    assert BUDGET <= seconds < 1.5 * BUDGET
    assert is_over(int((tmp_path / "child").read_text()))


def test_what_a_process_leaves_behind_ends_with_it(
    contest: SimpleNamespace, tmp_path: Path
) -> None:
    code = f"import os, subprocess, sys, time; os.chdir({str(tmp_path)!r}); "
    code += f"subprocess.Popen([sys.executable, '-c', {STAYS!r}])\n"
    code += "while not os.path.exists('child'): time.sleep(0.05)"
    command = [sys.executable, "-c", code]
    _, ended = contest.cells.timed(command, 30.0, dict(os.environ), tmp_path)
    assert ended == "by itself"
    assert is_over(int((tmp_path / "child").read_text()))


def test_a_cell_is_scored_by_what_is_on_the_disk_when_it_is_killed(
    contest: SimpleNamespace, small: Any
) -> None:
    right = small.test_labels.copy()
    right[:25] = (right[:25] + 1) % 10
    train = f"import time; open('kept', 'w').write('{right.tolist()}'); time.sleep(60)"
    predict = "import json, numpy; assert len(numpy.load('test.npy')) == 100; "
    predict += "numpy.save('predictions.npy', numpy.array(json.load(open('kept'))))"
    system = script(contest, train, predict)
    found = contest.cells.run_cell(system, "small", 0, BUDGET, small, None)
    assert (found.accuracy, found.ended, found.error) == (0.75, "killed at the budget", None)


def test_no_test_image_is_in_the_folder_of_a_cell_while_it_runs(
    contest: SimpleNamespace, small: Any
) -> None:
    train = "import json; task = json.load(open('task.json')); "
    train += "assert not os.path.exists(task['test_images']); "
    train += f"assert {small.test_images!r} not in str(task)"
    system = script(contest, train, "assert os.path.exists('test.npy'); sys.exit('seen')")
    found = contest.cells.run_cell(system, "small", 0, 10.0, small, None)
    assert (found.ended, found.error) == ("by itself", "no model: seen")


def test_a_cell_without_a_model_scores_nothing_and_says_why_without_places(
    contest: SimpleNamespace, small: Any
) -> None:
    system = script(contest, "sys.exit('it broke in ' + FOLDER)", "sys.exit('nothing there')")
    kept = contest.cells.as_json(contest.cells.run_cell(system, "small", 0, 10.0, small, None))
    assert (kept["accuracy"], kept["ended"], kept["validation"]) == (0.0, "exit code 1", None)
    assert "no model: nothing there; its process said: it broke in ~/cell-" in kept["error"]


def test_a_system_that_cannot_be_installed_is_said_and_not_scored(
    contest: SimpleNamespace, small: Any
) -> None:
    system = contest.task.System("absent", None, None, why_not=lambda: "could not be installed")
    found = contest.cells.run_cell(system, "small", 0, 10.0, small, None)
    assert (found.accuracy, found.error) == (None, "could not be installed")


def test_a_machine_where_something_runs_is_busy(contest: SimpleNamespace) -> None:
    heavy = psutil.Popen([sys.executable, "-c", "while True: pass"])
    try:
        reason = contest.idle.why_busy(seconds=2.0)
    finally:
        heavy.kill()
        heavy.wait()
    assert reason is not None
    assert "cores are busy" in reason


def test_the_table_and_the_arrays_have_the_same_images_in_the_same_parts(
    contest: SimpleNamespace, small: Any
) -> None:
    import csv

    from PIL import Image

    with Path(small.table).open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with np.load(small.arrays) as arrays:
        parts = {"train": (arrays["x"], arrays["y"]), "val": (arrays["vx"], arrays["vy"])}
    parts["test"] = (np.load(small.test_images), small.test_labels)
    for part, (images, labels) in parts.items():
        own = [row for row in rows if row["split"] == part]
        assert len(own) == len(images)
        listed = {(np.asarray(Image.open(row["path"])).tobytes(), row["label"]) for row in own}
        assert listed == {
            (image.tobytes(), small.class_names[label])
            for image, label in zip(images, labels, strict=True)
        }


def test_a_seed_cuts_training_and_validation_and_leaves_the_test_alone(
    contest: SimpleNamespace, tmp_path: Path
) -> None:
    track, found = contest.tracks.SMALL, {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        rows = track.images(tmp_path / name, seed)
        found[name] = {
            part: {Path(path).relative_to(tmp_path / name) for path, _, of in rows if of == part}
            for part in ("train", "val", "test")
        }
    assert found["a"] == found["b"]
    assert found["a"]["test"] == found["c"]["test"]
    assert found["a"]["train"] != found["c"]["train"]
    assert not found["a"]["train"] & found["a"]["val"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts", "classes"),
    [("scratch", (4000, 1000, 10000), 10), ("transfer", None, 43)],
)
def test_a_track_has_its_images(
    contest: SimpleNamespace,
    shared_archive: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    counts: tuple[int, int, int] | None,
    classes: int,
) -> None:
    track = contest.tracks.TRACKS[name]
    shared_archive(track.archive)
    data = contest.tracks.data_of(track, 0, tmp_path / name)
    with np.load(data.arrays) as arrays:
        sizes = len(arrays["x"]), len(arrays["vx"]), len(data.test_labels)
        assert arrays["x"].shape[1:] == (track.image_size, track.image_size, 3)
    assert counts is None or sizes == counts
    assert len(data.class_names) == classes
    assert sizes[2] >= 2485
    track.search_space()
