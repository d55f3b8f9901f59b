from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from automl_img.report.card import load_card
from automl_img.report.verdict import epochs_spent, verdict
from automl_img.runs import Run, create_run
from tests.report.golden import golden_run


def test_a_tested_run_says_test_accuracy_interval_and_images(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    run.write_json("test.json", {"images": 180, "correct": 175, "accuracy": 175 / 180})
    found = verdict(load_card(run))
    assert found.line == "Test accuracy 0.972 (95 % interval 0.937-0.988, 180 images)"
    assert found.kind == "test"
    assert found.caution == ""
    assert found.winner.startswith("cnn, ")


def test_coarser_classes_are_said_last(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    coarse = {"classes": ["x", "y"], "accuracy": 0.98}
    test = {"images": 180, "correct": 175, "accuracy": 175 / 180, "coarse": coarse}
    run.write_json("test.json", test)
    said = verdict(load_card(run)).line
    assert said.endswith("180 images), accuracy 0.980 for the 2 coarser classes")
    for odd in (None, 3, {"classes": ["x"], "accuracy": 1.0}, {"classes": ["x", "y"]}):
        run.write_json("test.json", {**test, "coarse": odd})
        assert "coarser" not in verdict(load_card(run)).line


def test_a_run_without_a_test_is_said_to_be_optimistic(tmp_path: Path) -> None:
    found = verdict(load_card(golden_run(tmp_path, tested=False)))
    assert found.kind == "validation"
    assert found.line.startswith("Validation accuracy 0.")
    assert "best of 19 trials, so it is optimistic" in found.caution


def test_a_run_whose_trials_all_failed_says_why(tmp_path: Path) -> None:
    found = verdict(load_card(golden_run(tmp_path, trials=3, failed=3, error="no memory\ntrace")))
    assert found.line == "No trial reached a validation accuracy"
    assert found.caution == "3 trials failed. The first one: no memory"


def test_an_empty_run_has_a_verdict_too(tmp_path: Path) -> None:
    found = verdict(load_card(create_run(tmp_path, "empty", {})))
    assert (found.kind, found.accuracy, found.epochs_full) == ("none", None, None)


def test_epochs_are_saved_by_rungs_alone_and_not_where_a_trial_was_cut_short(golden: Run) -> None:
    card = load_card(golden)
    run, full = epochs_spent(card)
    lengths = [len(trial.epochs) for trial in card.trials if trial not in card.failed]
    stopped = [trial for trial in card.trials if trial.stop_reason.startswith("rung")]
    assert stopped
    assert run == sum(lengths)
    assert full == run + sum(18 - len(trial.epochs) for trial in stopped)
    cut = [dataclasses.replace(trial, stop_reason="budget") for trial in card.trials]
    assert epochs_spent(dataclasses.replace(card, trials=tuple(cut))) == (run, run)


def test_the_best_trial_is_one_that_ran_to_its_end(tmp_path: Path) -> None:
    card = load_card(golden_run(tmp_path, tested=False))
    assert card.best_trial in card.finished


@pytest.mark.parametrize("images", [1, 20, 1000])
def test_the_line_is_plain_ascii(tmp_path: Path, images: int) -> None:
    run = golden_run(tmp_path)
    run.write_json("test.json", {"images": images, "correct": images, "accuracy": 1.0})
    line = verdict(load_card(run)).line
    assert line.isascii()
    assert "1.000 (95 % interval" in line
