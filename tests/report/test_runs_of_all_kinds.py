"""The report of every run folder that can be: small, huge, broken off, spoilt, old."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_img.evaluation.coarse import score_coarse
from automl_img.report.render import write_report
from automl_img.runs import create_run
from tests.report.golden import golden_run
from tests.report.html import Page

KINDS: dict[str, dict[str, Any]] = {
    "binary": {"classes": 2},
    "three": {"classes": 3},
    "forty": {"classes": 40, "images": 800},
    "a thousand": {"classes": 1000, "images": 2000, "thumbnails": False, "trials": 5},
    "absent class": {"classes": 4, "absent_class": 2},
    "one trial": {"trials": 1, "failed": 0},
    "all failed": {"trials": 4, "failed": 4},
    "no pruning": {"pruning": False},
    "NaN losses": {"nan_losses": True},
    "no images kept": {"thumbnails": False},
    "interrupted": {"tested": False},
    "no mistakes": {"skill": 30.0},
    "useless": {"skill": 0.0},
    "few images": {"classes": 3, "images": 6},
    "hardly any images": {"classes": 3, "images": 3},
    "many trials": {"trials": 250},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_is_written_whole(kind: str, tmp_path: Path) -> None:
    run = golden_run(tmp_path, **KINDS[kind])
    page = Page.of(write_report(run, strict=True))
    assert "could not be built" not in page.text
    assert "could not be read" not in page.text
    assert run.report.stat().st_size < 3_000_000
    for name in ("nan", "None", "inf "):
        assert name not in page.text.replace("finance", "")


def test_coarser_classes_have_a_section_of_their_own(tmp_path: Path) -> None:
    run = golden_run(tmp_path, classes=4)
    predictions = run.read_predictions("test")
    assert predictions is not None
    coarse = score_coarse(predictions.labels, predictions.probabilities, ("x", "y", "<b>x", "y"))
    run.write_json("test.json", {**(run.read_json("test.json") or {}), "coarse": coarse})
    text = Page.of(write_report(run, strict=True)).text
    assert "How good is it at the 3 coarser classes" in text
    assert "<b>x" in text
    assert "were given one of the right coarser class" in text


@pytest.mark.parametrize(
    "thresholds", [[0.5], ["x", 0, 0, 0], {"a": 1}, [[0.5]] * 4, 3, [], "", [float("inf")] * 4]
)
def test_odd_thresholds_are_told_and_no_error(thresholds: object, tmp_path: Path) -> None:
    run = golden_run(tmp_path, classes=4)
    run.write_json("test.json", {**(run.read_json("test.json") or {}), "thresholds": thresholds})
    text = Page.of(write_report(run, strict=True)).text
    assert "test.json could not be read" in text


def test_text_for_labels_is_told_and_no_error(tmp_path: Path) -> None:
    run = golden_run(tmp_path, classes=4)
    predictions = run.read_predictions("test")
    assert predictions is not None
    odd = np.full(predictions.probabilities.shape, "1")
    run.write_predictions("test", dataclasses.replace(predictions, labels=odd))
    assert "do not fit together" in Page.of(write_report(run, strict=True)).text


def test_labels_and_thresholds_that_do_not_fit_are_told(tmp_path: Path) -> None:
    run = golden_run(tmp_path, classes=4)
    predictions = run.read_predictions("test")
    assert predictions is not None
    sets = np.zeros((len(predictions.labels), 3), np.uint8)
    shorter = dataclasses.replace(
        predictions, labels=sets, probabilities=predictions.probabilities[:, :3]
    )
    run.write_predictions("test", shorter)
    run.write_json("test.json", {**(run.read_json("test.json") or {}), "thresholds": [0.5] * 4})
    text = Page.of(write_report(run)).text
    assert "thumbnails could not be read" in text


@pytest.mark.parametrize("shape", [(240, 9), (240, 4, 1), (7,)])
def test_labels_that_do_not_fit_are_told_and_left_out(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    run = golden_run(tmp_path, classes=4, images=240)
    predictions = run.read_predictions("test")
    assert predictions is not None
    odd = np.zeros(shape, np.uint8)
    run.write_predictions("test", dataclasses.replace(predictions, labels=odd))
    text = Page.of(write_report(run, strict=True)).text
    assert "labels and probabilities do not fit together" in text


def test_an_old_or_foreign_run_folder_is_reported_as_far_as_it_goes(tmp_path: Path) -> None:
    run = create_run(tmp_path, "old", {"format": 0, "status": "finished", "later": {"key": 1}})
    line = {"number": 3, "state": "complete", "stop_reason": "finished", "params": {}, "seed": 0}
    epochs = [{"epoch": 1, "accuracy": 0.5, "val_accuracy": 0.5, "new": 1}]
    line |= {"started": 0.0, "ended": 1.0, "epochs": epochs, "unknown": True}
    lines = [json.dumps(line), "{torn", json.dumps({"number": 4})]
    (run.path / "trials.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run.write_json("test.json", {"images": 10, "accuracy": 0.9})
    text = Page.of(write_report(run, strict=True)).text
    assert "0.900" in text
    assert "1 line of trials.jsonl could not be read" in text
    assert "not recorded" in text


def test_a_run_whose_trials_did_not_count_graphs_says_nothing_of_them(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    records = (run.path / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [json.loads(record) for record in records]
    for line in lines:
        del line["graphs_traced"]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.path / "trials.jsonl").write_text(text, encoding="utf-8")
    page = Page.of(write_report(run, strict=True))
    assert "All trials" in page.text
    assert "traced for" not in page.text


@pytest.mark.parametrize(
    "name", ["test.json", "winner.json", "predictions/test.npz", "thumbnails/groups.json"]
)
def test_a_damaged_file_costs_its_section_only(name: str, tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    (run.path / name).write_bytes(b"\x00 not what it should be")
    text = Page.of(write_report(run, strict=True)).text
    assert "All trials" in text
    assert ("could not be read" in text) == (name != "thumbnails/groups.json")


def test_mistakes_are_recognised_without_the_groups_file(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    (run.path / "thumbnails" / "groups.json").unlink()
    page = Page.of(write_report(run, strict=True))
    groups = {attributes.get("data-group") for _, attributes in page.elements}
    assert "mistake" in groups
