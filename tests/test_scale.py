"""The searches of benchmarks/scale.py, whose trials sleep."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the benchmarks are found as a script finds them."""
    monkeypatch.syspath_prepend(str(FOLDER))


def seen_of(slept: list[list[tuple[int, float, float]]], ended: list[float]) -> Any:
    driver = importlib.import_module("simulation.driver")
    return driver.Seen([(0, 0.01)], [(at, at / 10, 100) for at in ended], slept, 1.0, 1)


def test_a_worker_is_idle_between_trials_and_in_reports_once_all_are_up() -> None:
    scale = importlib.import_module("scale")
    seen = seen_of(
        [
            # Before the other is up nothing counts.
            [(0, 0.0, 1.0), (0, 5.0, 6.0), (1, 10.0, 12.0), (1, 12.5, 14.0), (3, 15.0, 17.0)],
            [(2, 10.0, 13.0), (4, 13.25, 17.0)],
        ],
        [6.0, 13.0, 14.0, 17.0, 17.0],
    )
    window = scale.window_of(scale.Load(2, 5, 1.0, "cifar10"), seen)
    assert (window.began, window.ended, window.first) == (10.0, 17.0, 1)
    assert (window.slept, window.reports) == (2.0 + 1.5 + 3.0, 3)
    assert (window.between, window.waiting) == (1.0 + 0.25, 0.5)


def test_a_search_is_not_measured_whose_workers_did_not_all_work() -> None:
    scale = importlib.import_module("scale")
    with pytest.raises(RuntimeError, match="only 1 of 2"):
        scale.window_of(scale.Load(2, 1, 1.0, ""), seen_of([[(0, 0.0, 1.0)]], [1.0]))


@pytest.mark.slow
def test_a_search_of_sleeping_trials_is_a_search(tmp_path: Path) -> None:
    driver = importlib.import_module("simulation.driver")
    runs = importlib.import_module("automl_img.runs")
    seen = driver.measured(driver.Load(2, 6, 0.05, "cifar10"), tmp_path / "two")
    records = runs.Run(tmp_path / "two" / "run").trials()
    assert len(seen.ended) == len(records) >= 6
    slept = {trial for sleeps in seen.slept for trial, *_ in sleeps}
    assert slept == {record.number for record in records}
    assert any(record.stop_reason.startswith("rung") for record in records)
    assert all(seconds > 0 for _, seconds in seen.asked)
    assert seen.study > 0
    assert seen.ray > 0
