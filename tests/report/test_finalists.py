from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from automl_img.metrics import score
from automl_img.report import finalists as compared
from automl_img.report.card import load_card
from automl_img.report.finalists import finalists
from automl_img.report.render import write_report
from automl_img.report.rules_of_search import cheaper_equal
from automl_img.runs import Predictions, Run
from tests.report.golden import golden_run
from tests.report.html import Page


def searched_by(run: Run, objective: str) -> None:
    run.update_info(search={**run.info["search"], "objectives": [objective]})


@pytest.fixture
def several(tmp_path: Path) -> Run:
    """A run on images with several classes, whose winner is far ahead of one finalist, and as good
    as the others."""
    run = golden_run(tmp_path, images=300)
    searched_by(run, "val_map")
    run.update_info(data={**run.info["data"], "multi_label": True})
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 3)) < [0.5, 0.3, 0.2]).astype(np.uint8)
    winner = int((run.read_json("winner.json") or {})["number"])
    others = [name for name in run.predictions_of_trials if name != f"trial-{winner:05d}"]
    for name in run.predictions_of_trials:
        skill = 0.1 if name == others[0] else 0.5
        given = skill * labels + (1 - skill) * rng.random(labels.shape)
        # Never more than half: so no class is said to be there, and no image with one is right.
        run.write_predictions(name, Predictions(labels, 0.49 * given, ("",) * 300))
    return run


def test_finalists_with_several_classes_go_by_what_the_search_compared(several: Run) -> None:
    found = finalists(load_card(several))
    for item in found:
        kept = several.read_predictions(f"trial-{item.trial.number:05d}")
        assert kept is not None
        assert item.score == pytest.approx(score("val_map", kept.probabilities, kept.labels))
        assert item.p is None
    assert [item.separable for item in found] == [False, False, False, False, True]
    gap, low, high = found[-1].ahead or (0, 0, 0)
    assert gap == pytest.approx(found[0].score - found[-1].score)
    assert 0.1 < low < gap < high < 0.6


def test_their_columns_say_so_and_no_test_of_single_images_stands_there(several: Run) -> None:
    page = Page.of(write_report(several, strict=True))
    assert "The best trials; paired bootstrap on the same images" in page.text
    assert "Validation mean average precision" in page.text
    assert "McNemar" not in page.text
    assert "3 finalists cannot be told apart from the winner on these 300" in page.text


def test_balanced_accuracy_is_compared_as_itself(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    searched_by(run, "val_balanced_accuracy")
    text = Page.of(write_report(run, strict=True)).text
    assert "Validation balanced accuracy" in text
    assert "McNemar" not in text


def test_the_accuracy_has_mcnemars_test(golden: Run) -> None:
    found = finalists(load_card(golden))
    assert all(item.p is not None for item in found)
    text = Page.of(golden.report).text
    assert "paired bootstrap and exact McNemar test on the same images" in text
    assert "Validation accuracy" in text


def test_what_would_take_minutes_is_not_worked_out_and_nothing_is_said_of_it(
    several: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compared, "_MOST", 1000)
    card = load_card(several)
    assert {item.ahead for item in finalists(card)} == {None}
    assert cheaper_equal(card) is None
    text = Page.of(write_report(several, strict=True)).text
    assert "was not worked out, as it would take minutes" in text
    assert "cannot be told apart" not in text


def test_a_finalist_of_other_images_is_left_out(several: Run) -> None:
    card = load_card(several)
    assert card.best_trial is not None
    other = next(number for number in card.finalists if number != card.best_trial.number)
    kept = card.finalists[other]
    odd = dataclasses.replace(kept, labels=1 - kept.labels)
    shorter = dataclasses.replace(card, finalists={**card.finalists, other: odd})
    assert other not in [item.trial.number for item in finalists(shorter)]
