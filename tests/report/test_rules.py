from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from automl_img.report import rules
from automl_img.report.card import Card, load_card
from automl_img.report.facts import Scores, Search
from automl_img.runs import Run
from automl_img.trials import EpochResult, TrialRecord, TrialState
from tests.report.golden import golden_run


@pytest.fixture
def card(golden: Run) -> Card:
    return load_card(golden)


def test_the_worst_comes_first(card: Card) -> None:
    levels = [finding.level for finding in rules.findings(card)]
    assert levels == sorted(levels, key=["check", "note", "good"].index)
    assert len({rule.__name__ for rule in rules.RULES}) == len(rules.RULES)


def test_a_better_trial_of_another_run_of_the_same_study_is_told(card: Card) -> None:
    assert rules.better_elsewhere(card) is None
    for study, told in (({"better": "Trial 3 of the run b is better."}, True), ("x", False)):
        found = rules.better_elsewhere(
            dataclasses.replace(card, info={**card.info, "study": study})
        )
        assert (found is not None) is told


def with_test(card: Card, accuracy: float, images: int, **values: Any) -> Card:
    """The card with another result on the test images."""
    test = {"images": images, "accuracy": accuracy, **values}
    return dataclasses.replace(card, test=Scores.read(test))


def trained(card: Card, curve: list[tuple[float, float, float]]) -> Card:
    """The card with one trial: (training accuracy, validation loss, validation accuracy)."""
    epochs = tuple(
        EpochResult(i + 1, 0.1, accuracy, val_loss, val_accuracy, 1.0, 0.001)
        for i, (accuracy, val_loss, val_accuracy) in enumerate(curve)
    )
    trial = TrialRecord(0, TrialState.COMPLETE, "finished", {}, 0, 0.0, 1.0, epochs)
    return dataclasses.replace(card, trials=(trial,), winner=None)


@pytest.mark.parametrize(("accuracy", "level"), [(0.36, "check"), (0.8, "good")])
def test_the_baseline_must_be_beaten_by_two_standard_errors(
    card: Card, accuracy: float, level: str
) -> None:
    found = rules.baseline(with_test(card, accuracy, 100, baseline=0.33))
    assert found
    assert found.level == level


@pytest.mark.parametrize(("least", "level"), [(0.04, "check"), (0.3, "good")])
def test_of_several_classes_a_random_order_is_the_baseline(
    card: Card, least: float, level: str
) -> None:
    """Thresholds for F1 cost exact matches, so the most frequent set may have more of these."""
    per_class = [{"name": name, "support": 45, "recall": 0.5} for name in "ab"]
    found = rules.baseline(
        with_test(
            card,
            *(0.3, 1000),
            baseline=0.527,
            classes=["a", "b"],
            thresholds=[0.1, 0.2],
            per_class=per_class,
            mean_average_precision_interval=[least, 0.5],
        )
    )
    assert found
    assert found.level == level
    assert "0.045" in found.text


def test_of_several_classes_validation_and_test_accuracy_are_not_compared(card: Card) -> None:
    assert rules.optimism(with_test(card, 0.1, 1000)) is not None
    several = with_test(card, 0.1, 1000, classes=["a"], thresholds=[0.1])
    assert rules.optimism(several) is None


@pytest.mark.parametrize(
    ("images", "half"), [(100, "0.060"), (500, "0.026"), (2_000, None), (10_000, None)]
)
def test_a_small_test_set_is_told_by_its_interval(
    card: Card, images: int, half: str | None
) -> None:
    found = rules.small_test(with_test(card, 0.9, images))
    assert (f"±{half} only" in found.text) if found else half is None


def test_more_than_one_look_at_the_test_images_is_told(card: Card) -> None:
    assert rules.tested_again(card) is None
    tested = [{"trial": 3, "epochs": 4}, {"trial": 9, "epochs": 4}]
    found = rules.tested_again(dataclasses.replace(card, info={**card.info, "tested": tested}))
    assert found
    assert "read 2 times" in found.text
    assert "(trial 3, then trial 9)" in found.text


def test_the_gap_to_validation_counts_in_standard_errors(card: Card) -> None:
    assert card.best_trial
    assert card.best_trial.best
    reached = card.best_trial.best.val_accuracy or 0.0
    assert rules.optimism(with_test(card, reached - 0.01, 100)) is None
    found = rules.optimism(with_test(card, reached - 0.4, 100))
    assert found
    assert "part of it is choosing the best of" in found.text


def test_overfitting_needs_a_gap_and_a_rising_loss(card: Card) -> None:
    rising = [(0.7, 0.5, 0.6), (0.99, 0.4, 0.65), (1.0, 0.9, 0.64)]
    level = [(0.7, 0.5, 0.6), (0.99, 0.4, 0.65), (1.0, 0.41, 0.64)]
    none = [(0.7, 0.5, 0.6), (0.66, 0.4, 0.65), (0.7, 0.9, 0.64)]
    slight, full = rules.overfitting(trained(card, level)), rules.overfitting(trained(card, rising))
    assert full
    assert full.level == "check"
    assert slight
    assert "overfits slightly" in slight.text
    assert rules.overfitting(trained(card, none)) is None


def test_stopped_too_early_needs_the_best_epoch_last_and_a_falling_loss(card: Card) -> None:
    falling = [(0.5, 0.9, 0.5), (0.6, 0.8, 0.6), (0.7, 0.7, 0.7)]
    assert rules.stopped_too_early(trained(card, falling))
    assert rules.stopped_too_early(trained(card, falling[::-1])) is None


@pytest.mark.parametrize(
    ("value", "end"), [(0.00011, "lower"), (0.099, "upper"), (0.0003, None), (0.05, None)]
)
def test_the_edge_of_a_range_is_seen_on_its_own_scale(
    card: Card, value: float, end: str | None
) -> None:
    assert card.best_trial
    name = "optimizer.learning_rate"
    best = dataclasses.replace(card.best_trial, params={name: value})
    trials = tuple(best if trial.number == best.number else trial for trial in card.trials)
    search = Search(dimensions=tuple(d for d in card.search.dimensions if d.name == name))
    found = rules.range_edges(dataclasses.replace(card, trials=trials, search=search))
    assert (f"({end} end)" in found.text) if found else end is None


def test_a_weak_class_must_be_beyond_the_chance_of_so_many_classes(card: Card) -> None:
    def rows(recall: float, classes: int) -> list[dict[str, Any]]:
        others = [{"name": str(i), "support": 30, "recall": 0.9} for i in range(1, classes)]
        return [{"name": "weak", "support": 30, "recall": recall}, *others]

    assert rules.weak_class(with_test(card, 0.9, 300, per_class=rows(0.6, 10)))
    assert rules.weak_class(with_test(card, 0.9, 300, per_class=rows(0.8, 2))) is None
    demo = [
        {"name": str(i), "support": 18, "recall": 1 - wrong / 18}
        for i, wrong in enumerate((2, 1, 1))
    ]
    demo += [{"name": str(i), "support": 18, "recall": 1.0} for i in range(3, 10)]
    # Two of four mistakes in one of ten classes: p = 0.05, ten times that among ten classes.
    assert rules.weak_class(with_test(card, 0.978, 180, per_class=demo)) is None
    assert rules.weak_class(with_test(card, 0.9, 30_000, per_class=rows(0.7, 1000))) is None


def test_a_run_cut_short_but_tested_says_how_far_it_came(card: Card) -> None:
    found = rules.broken_off(dataclasses.replace(card, info={"status": "interrupted"}))
    assert found
    assert found.text == "The run was interrupted after 20 of 20 trials."
    assert rules.broken_off(card) is None


def test_failed_trials_tell_the_first_line_of_the_first_error(tmp_path: Path) -> None:
    run = golden_run(tmp_path, trials=4, failed=2, error="no memory left\nTraceback ...")
    found = rules.failed_trials(load_card(run))
    assert found
    assert found.text == "2 of 4 trials failed. The first one: no memory left"
    assert found.level == "check"
