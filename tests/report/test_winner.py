"""Why the winner won, what the probes cost, and what an ensemble adds: true to the run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from automl_img.evaluation.scores import score
from automl_img.report.blocks import Section, Skipped, Table, Text
from automl_img.report.card import load_card, reached
from automl_img.report.drawing import percent
from automl_img.report.render import write_report
from automl_img.report.sections import ensemble, finalists, probes
from automl_img.runs import Predictions, Run
from automl_img.trials import TrialRecord
from tests.report.golden import golden_run
from tests.report.html import Page


def texts(section: Section | Skipped) -> str:
    assert isinstance(section, Section)
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def table(section: Section | Skipped, name: str) -> list[list[str]]:
    assert isinstance(section, Section)
    [found] = [block for block in section.blocks if isinstance(block, Table) and block.id == name]
    return [[cell.shown for cell in row] for row in found.rows]


def with_ensemble(run: Run, gain: int) -> None:
    """An ensemble that is right on ``gain`` more of the test images than the winner."""
    alone = run.read_predictions("test")
    test = run.read_json("test.json")
    assert alone is not None
    assert test is not None
    together = alone.probabilities.copy()
    wrong = np.flatnonzero(together.argmax(axis=1) != alone.labels)[:gain]
    together[wrong] = np.eye(together.shape[1])[alone.labels[wrong]]
    run.write_predictions("ensemble", Predictions(alone.labels, together, alone.names))
    names = load_card(run).classes
    members = [{"number": 3, "weight": 0.75}, {"number": 4, "weight": 0.25}]
    scores = score(alone.labels, together, names)
    run.write_json("ensemble.json", {"members": members, "test": scores})


def test_an_ensemble_stands_beside_the_winner_with_the_difference(tmp_path: Path) -> None:
    run = golden_run(tmp_path, images=120, skill=1.0)
    with_ensemble(run, gain=12)
    section = ensemble.build(load_card(run))
    assert "differs from the winner on the test images: +0.100" in texts(section)
    rows = table(section, "table-ensemble")
    assert float(rows[1][1]) == pytest.approx(float(rows[0][1]) + 0.1, abs=0.002)
    assert [row[2] for row in table(section, "table-members")] == [percent(0.75), percent(0.25)]


def test_a_gain_that_chance_explains_is_called_that(tmp_path: Path) -> None:
    run = golden_run(tmp_path, images=120, skill=1.0)
    with_ensemble(run, gain=2)
    assert "cannot be told apart from the winner" in texts(ensemble.build(load_card(run)))


def test_a_spoilt_ensemble_costs_its_section_and_no_more(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    (run.path / "ensemble.json").write_text('{"members": 3}')
    page = Page.of(write_report(run, strict=True))
    assert "ensemble.json could not be read" in page.text
    assert "test accuracy" in page.text


def test_without_an_ensemble_its_section_is_left_out(golden: Run) -> None:
    assert isinstance(ensemble.build(load_card(golden)), Skipped)


def test_the_reason_and_the_seeds_of_the_finalists_are_shown(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    winner = run.read_json("winner.json")
    assert winner is not None
    scores = {"3": [0.8, 0.9], "7": [0.9, 0.95]}
    told = {"reason": "it cannot be told apart from trial 7", "retrained": False}
    run.write_json("winner.json", {**winner, **told, "scores": scores})
    section = finalists.build(load_card(run))
    assert "won: it cannot be told apart from trial 7. There was no time" in texts(section)
    assert table(section, "table-seeds") == [
        ["7", "0.925", "0.900, 0.950"],
        ["3", "0.850", "0.800, 0.900"],
    ]


def test_trials_are_shown_by_what_they_were_compared_by(tmp_path: Path) -> None:
    run = golden_run(tmp_path, failed=0)
    run.write_json(
        "run.json",
        {**run.info, "search": {**run.info["search"], "objectives": ["val_macro_f1"]}},
    )
    records = run.trials()
    (run.path / "trials.jsonl").unlink()
    for record in records:
        epochs = tuple(
            dataclasses.replace(each, score=1 - (each.val_accuracy or 0)) for each in record.epochs
        )
        run.append_trial(dataclasses.replace(record, epochs=epochs))
    card = load_card(run)
    assert card.search.measure == "validation macro F1"
    assert [reached(trial) for trial in card.trials] == [
        max(1 - (each.val_accuracy or 0) for each in record.epochs) for record in records
    ]


def test_probes_are_ranked_with_what_they_took(tmp_path: Path) -> None:
    run = golden_run(tmp_path, failed=0)
    records = list(load_card(run).trials)
    took = [(0, "vgg19", 4.0), (1, "resnet50", 6.0)]
    for place, backbone, seconds in took:
        records[place] = probe(records[place], backbone, seconds)
    card = dataclasses.replace(load_card(run), trials=tuple(records))
    section = probes.build(card)
    assert "2 linear probes on a part of the images took 10" in texts(section)
    rows = table(section, "table-probes")
    assert {row[1]: row[3] for row in rows} == {"vgg19": "4.0", "resnet50": "6.0"}
    assert float(rows[0][2]) >= float(rows[1][2])
    assert isinstance(probes.build(load_card(run)), Skipped)


def probe(record: TrialRecord, backbone: str, seconds: float) -> TrialRecord:
    return dataclasses.replace(
        record,
        origin="probe",
        params={**record.params, "backbone": backbone},
        ended=record.started + seconds,
    )
