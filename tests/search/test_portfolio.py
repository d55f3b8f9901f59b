"""How a start set is learned from recorded curves: benchmarks/portfolio/choose.py."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from automl_img.models.hyperparameters import declared
from automl_img.search.start import start_set
from automl_img.space.portfolio import DataFacts
from automl_img.space.presets import Preset, build_space

FOLDER = Path(__file__).parents[2] / "benchmarks" / "portfolio"
PRESET: dict[str, Any] = {
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


def curves(
    folder: Path,
    name: str,
    accuracies: list[float],
    failed: str | None = None,
    by_hand: float | None = 0.1,
) -> Path:
    """A file of curves: each point reaches its accuracy in the middle of three epochs.

    Args:
        by_hand: what the points of the start set reach; None records none of them.
    """
    trials: list[dict[str, Any]] = [
        {"number": number, "params": params, "failed": None, "val_accuracy": [0.1, best, 0.1]}
        for number, (params, best) in enumerate(zip(POINTS, accuracies, strict=False))
    ]
    trials[-1]["failed"] = failed
    about = {"train": 4000, "classes": 10, "size": 32, "channels": 3}
    path = folder / f"{name}.json"
    space = build_space("cnn", Preset(**PRESET), declared(), {}, {})
    start = [
        {"params": {key: point[key] for key in space.searched}, "failed": None}
        for point in start_set(space, DataFacts(4000, 10, 32, 3))
    ]
    made = [{**trial, "val_accuracy": [by_hand]} for trial in start if by_hand is not None]
    content = {"data": about, "space": "cnn", "preset": PRESET, "trials": trials, "start": made}
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
    assert script.regret(data, [0.5, 0.0]) == pytest.approx(0.1)


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
    assert row.hand == pytest.approx((0.8,))


def test_what_was_made_by_hand_is_compared_as_it_was_recorded(
    script: ModuleType, tmp_path: Path
) -> None:
    names = ("a", "b")
    data = [script.read(curves(tmp_path, name, [0.5, 0.6], by_hand=0.7)) for name in names]
    for row in script.compare(data, most=1):
        assert row.hand == pytest.approx((0.0,))
        assert row.learned == pytest.approx((0.1,))
    with pytest.raises(script.Incomplete, match="c lacks a point of the start set"):
        script.read(curves(tmp_path, "c", [0.5], by_hand=None))


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
