"""What trials are compared by where nobody said."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_img.data.prepare import prepare
from automl_img.events import Event, Notice
from automl_img.search.objective import decided
from automl_img.settings import SearchSettings
from tests.pictures import class_folders
from tests.search.searches import small_search


def rare(folder: Path, per_class: int = 40, few: int = 8) -> Path:
    """Three classes, of which one has few images."""
    class_folders(folder, per_class=per_class)
    for path in sorted((folder / "red").iterdir())[few:]:
        path.unlink()
    return folder


@pytest.mark.parametrize("keep_copies", [False, True])
def test_rare_classes_are_compared_by_balanced_accuracy_and_that_is_said(
    tmp_path: Path, keep_copies: bool
) -> None:
    settings = SearchSettings(data=str(rare(tmp_path / "rare")), keep_copies=keep_copies)
    events: list[Event] = []
    found = decided(settings, prepare(settings), events.append)
    assert found.objective == "val_balanced_accuracy"
    [said] = events
    assert isinstance(said, Notice)
    assert "--objective val_accuracy" in said.text


def test_others_are_compared_by_accuracy_and_what_was_asked_for_stays(tmp_path: Path) -> None:
    even = SearchSettings(data=str(class_folders(tmp_path / "even")))
    events: list[Event] = []
    assert decided(even, prepare(even), events.append).objective == "val_accuracy"
    asked = SearchSettings(data=str(rare(tmp_path / "rare")), objective="val_accuracy,latency")
    assert decided(asked, prepare(asked), events.append) is asked
    assert events == []


@pytest.mark.slow
def test_a_search_is_led_by_its_objective_to_the_report(tmp_path: Path) -> None:
    run = small_search(
        rare(tmp_path / "rare"),
        tmp_path / "runs",
        budget=3,
        search={"imbalance.class_weights": "0..1", "imbalance.oversampling": "0..1"},
    )
    assert run.info["settings"]["objective"] == "val_balanced_accuracy"
    assert run.info["search"]["objectives"] == ["val_balanced_accuracy"]
    epochs = [result for trial in run.trials() for result in trial.epochs]
    assert {result.score is None for result in epochs} == {False}
    page = run.report.read_text(encoding="utf-8")
    assert "validation balanced accuracy" in page
    scores = run.read_json("test.json")
    assert scores is not None
    assert f"balanced accuracy {scores['balanced_accuracy']:.3f}" in page
