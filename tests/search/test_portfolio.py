"""How a start set is learned from recorded curves: benchmarks/portfolio/choose.py."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "portfolio"
PRESET = {
    "search": {"optimizer.learning_rate": "1.0e-4..1.0e-1:log", "cnn.depth": "2..4"},
    "fix": {"backbone": "cnn"},
}
POINTS = [
    {"optimizer.learning_rate": 3e-3, "cnn.depth": 2},
    {"optimizer.learning_rate": 1e-1, "cnn.depth": 3},
    {"optimizer.learning_rate": 1e-4, "cnn.depth": 4},
    {"optimizer.learning_rate": 1e-3, "cnn.depth": 4},
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("choose")


def curves(folder: Path, name: str, accuracies: list[float], failed: str | None = None) -> Path:
    """A file of curves: each point reaches its accuracy in the middle of three epochs."""
    trials: list[dict[str, Any]] = [
        {"number": number, "params": params, "failed": None, "val_accuracy": [0.1, best, 0.1]}
        for number, (params, best) in enumerate(zip(POINTS, accuracies, strict=False))
    ]
    trials[-1]["failed"] = failed
    about = {"train": 4000, "classes": 10, "size": 32, "channels": 3}
    path = folder / f"{name}.json"
    content = {"data": about, "space": "cnn", "preset": PRESET, "trials": trials}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_points_are_chosen_that_complement_each_other(script: ModuleType, tmp_path: Path) -> None:
    # The second is good everywhere, the third alone saves data set "b"; the first adds nothing.
    rows = {"a": [0.85, 0.9, 0.2, 0.1], "b": [0.5, 0.5, 0.9, 0.1], "c": [0.8, 0.8, 0.1, 0.7]}
    data = [script.read(curves(tmp_path, name, row)) for name, row in rows.items()]
    assert script.choose(data, 2) == [1, 2]
    # Where nothing is left to gain, the one recorded first.
    assert script.choose(data, 9) == [1, 2, 0, 3]


def test_only_points_that_all_data_sets_recorded_are_chosen(
    script: ModuleType, tmp_path: Path
) -> None:
    data = [
        script.read(curves(tmp_path, "a", [0.1, 0.2, 0.3, 0.9])),
        script.read(curves(tmp_path, "b", [0.1, 0.2])),
    ]
    assert script.choose(data, 4) == [1, 0]


def test_the_best_epoch_counts_and_a_trial_that_failed_counts_as_nothing(
    script: ModuleType, tmp_path: Path
) -> None:
    data = script.read(curves(tmp_path, "a", [0.5, 0.6, 0.9], failed="diverged"))
    assert data.accuracies == {0: 0.5, 1: 0.6, 2: 0.0}
    assert script.regret(data, [0, 2]) == pytest.approx(0.1)


def test_the_data_set_that_is_left_out_is_not_learned_from(
    script: ModuleType, tmp_path: Path
) -> None:
    # With it, the third would be chosen: nearly as good for the others, and the best for it.
    others = [0.2, 0.5, 0.45, 0.1]
    rows = {"a": others, "b": others, "held": [0.2, 0.1, 0.9, 0.1]}
    data = [script.read(curves(tmp_path, name, row)) for name, row in rows.items()]
    row = script.compare(data, most=1)[2]
    assert row.name == "held"
    assert row.learned == pytest.approx((0.8,))
    assert len(row.hand) == len(row.away) == 1


def test_points_made_by_hand_are_stood_for_by_the_nearest_recorded_ones(
    script: ModuleType, tmp_path: Path
) -> None:
    data = script.read(curves(tmp_path, "a", [0.5, 0.6, 0.7, 0.8]))
    found = script.made_by_hand(data, 9)
    assert found
    for number, away in found:
        others = [script._away(data.space, point, POINTS[number]) for point in hand(script, data)]
        assert away == min(others)
    # Its own points are no distance away from themselves.
    point = data.space.nearest(POINTS[1])
    assert script._away(data.space, point, POINTS[1]) == 0.0


def hand(script: ModuleType, data: Any) -> list[Any]:
    return list(script.start_set(data.space, data.facts))


def test_the_table_says_which_set_is_better(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        curves(tmp_path, name, [0.1, 0.9, 0.1, 0.1])
    script.main(["--curves", str(tmp_path), "--most", "1"])
    said = capsys.readouterr().out
    assert "space cnn: a (4), b (4), c (4)" in said
    assert "mean gain +80.00 points, better on 3 of 3: the learned set is better" in said
    assert "learned from all: {'optimizer.learning_rate': 0.1, 'cnn.depth': 3}" in said
    (tmp_path / "b.json").unlink()
    (tmp_path / "c.json").unlink()
    script.main(["--curves", str(tmp_path)])
    assert "one data set: nothing can be left out" in capsys.readouterr().out
