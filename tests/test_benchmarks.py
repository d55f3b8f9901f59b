"""Every benchmark has its options, its line of JSON, and a result that says where it was taken."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"
# What others only import, such as frame.py, does nothing when it is run.
SCRIPTS = sorted(
    path for path in FOLDER.glob("*.py") if "\nif __name__ ==" in path.read_text(encoding="utf-8")
)
RESULTS = sorted((FOLDER / "results").glob("*.json"))
GOOD = {"name": "startup", "figures": {"a / b": 1.5, "images": "digits"}, "goal": "g", "met": True}


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module as scripts import it, with its results in a folder of the test."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("frame")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


def test_there_are_benchmarks_of_start_up_memory_and_overhead() -> None:
    assert {"startup", "memory", "overhead"} <= {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_offers_a_short_form_and_says_what_it_measures(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--short" in done.stdout
    about = script.read_text(encoding="utf-8").split('"""')[1].splitlines()[0]
    assert about in done.stdout


def test_make_bench_runs_every_benchmark_and_nothing_else() -> None:
    planned = subprocess.run(
        ["make", "--silent", "-C", str(ROOT), "-o", "env", "bench", "BIN=echo planned"],
        capture_output=True,
        text=True,
        check=True,
    )
    ran = [line.split("/")[-1] for line in planned.stdout.splitlines() if "planned" in line]
    assert sorted(ran) == [f"{path.name} --short" for path in SCRIPTS]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"met": 1},
        {"met": None},
        {"goal": ""},
        {"figures": {}},
        {"figures": {"ratio": float("nan")}},
        {"figures": {"ratio": None}},
        {"figures": {"ratios": [1.0, 2.0]}},
        {"name": "no_such_script"},
        {"note": "one key too many"},
    ],
    ids=str,
)
def test_a_result_that_a_program_cannot_read_is_refused(
    frame: ModuleType, spoiled: dict[str, Any]
) -> None:
    frame.check(GOOD)
    with pytest.raises(ValueError, match=r"a result|a figure"):
        frame.check({**GOOD, **spoiled})


def test_a_full_run_keeps_its_result_with_date_and_machine(
    frame: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.finish(**GOOD, short=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == GOOD
    kept = json.loads((frame.RESULTS / "startup.json").read_text(encoding="utf-8"))
    assert {key: kept[key] for key in GOOD} == GOOD
    assert {"date", "machine"} == set(kept) - set(GOOD)


def test_a_short_run_prints_its_result_and_keeps_none(
    frame: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.finish(**GOOD, short=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == GOOD
    assert not frame.RESULTS.exists()


def test_what_a_machine_cannot_run_is_neither_met_nor_kept(
    frame: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.cannot_run("startup", "a goal", "there is no GPU")
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (printed["met"], printed["figures"]) == (False, {"not measured": "there is no GPU"})
    assert not frame.RESULTS.exists()


def test_work_is_timed_in_turn_from_both_ends_and_warm_rounds_do_not_count(
    frame: ModuleType,
) -> None:
    done: list[str] = []
    work = {"a": lambda: done.append("a"), "b": lambda: done.append("b")}
    times = frame.alternate(work, rounds=2, warmups=1)
    assert "".join(done) == "abbaab"
    assert [len(times[name].seconds) for name in "ab"] == [2, 2]


def test_a_ratio_is_of_the_fastest_and_the_medians_stand_beside_it(frame: ModuleType) -> None:
    ours, theirs = frame.Times((3.0, 9.0, 4.0)), frame.Times((2.0, 1.5, 8.0))
    figures = frame.in_ratios("x", ours, theirs)
    assert (figures["x"], figures["x, by medians"]) == (2.0, 2.0)
    assert (figures["x: ours, seconds"], figures["x: theirs, seconds"]) == (3.0, 1.5)


def test_a_process_that_fails_is_no_time(frame: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3\nwhy"):
        frame.wall(frame.python("-c", "import sys; print('why'); sys.exit(3)"))


def test_images_are_generated_where_real_ones_are_missing(
    frame: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(frame, "_CIFAR10", tmp_path / "missing.zip")
    images = frame.small_images(tmp_path, per_class=10)
    assert "generated" in images.words
    x, y, validation_x, validation_y = frame.arrays(frame.prepared(images))
    assert (x.shape, len(y)) == ((80, 32, 32, 3), 80)
    assert len(validation_x) == len(validation_y) == 10


@pytest.mark.parametrize("result", RESULTS, ids=lambda path: path.stem)
def test_a_kept_result_is_whole_and_names_no_place(frame: ModuleType, result: Path) -> None:
    kept = json.loads(result.read_text(encoding="utf-8"))
    frame.check({key: kept[key] for key in GOOD})
    assert kept["name"] == result.stem
    assert kept["machine"]["cpu"]
    assert str(Path.home()) not in str(kept)
    assert str(ROOT) not in str(kept)


@pytest.mark.slow
def test_a_benchmark_ends_with_its_line_of_json(frame: ModuleType) -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "collect.py"), "--short"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    frame.check(json.loads(done.stdout.splitlines()[-1]))
