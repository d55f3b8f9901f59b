"""Scores of images that may have several classes, beside those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as known

from automl_img import labels as label_sets
from automl_img.label_scores import (
    all_right,
    average_precisions,
    f1_scores,
    jaccard,
    log_loss,
    mean_average_precision,
    resampled_map,
)
from automl_img.metrics import confidence, objectives_of, right, score

RNG = np.random.default_rng(0)
LABELS = (RNG.random((200, 5)) < [0.5, 0.3, 0.1, 0.02, 0.0]).astype(np.uint8)
# Rounded, so that some are equal.
PROBABILITIES = np.round(0.5 * LABELS + 0.5 * RNG.random((200, 5)), 1).clip(0.05, 0.95)


def test_average_precision_is_that_of_scikit_learn_with_ties_too() -> None:
    found = average_precisions(PROBABILITIES, LABELS)
    for label in range(4):
        expected = known.average_precision_score(LABELS[:, label], PROBABILITIES[:, label])
        assert found[label] == pytest.approx(expected)
    # No image has the last class: it says nothing, and counts for nothing.
    assert np.isnan(found[4])
    assert mean_average_precision(PROBABILITIES, LABELS) == pytest.approx(found[:4].mean())


def test_resampling_gives_what_the_images_drawn_give() -> None:
    draws = [RNG.integers(200, size=200) for _ in range(5)]
    times = np.stack([np.bincount(rows, minlength=200) for rows in draws])
    expected = [mean_average_precision(PROBABILITIES[rows], LABELS[rows]) for rows in draws]
    assert resampled_map(PROBABILITIES, LABELS, times) == pytest.approx(expected)
    nothing = np.zeros_like(LABELS)
    assert resampled_map(PROBABILITIES, nothing, times).tolist() == [0.0] * 5


def test_the_others_are_those_of_scikit_learn() -> None:
    said = PROBABILITIES >= 0.5
    expected = known.f1_score(LABELS[:, :4], said[:, :4], average=None, zero_division=0)
    assert f1_scores(PROBABILITIES, LABELS)[:4] == pytest.approx(expected)
    some = LABELS.any(axis=1) | said.any(axis=1)
    expected = known.jaccard_score(LABELS[some], said[some], average="samples")
    assert jaccard(PROBABILITIES, LABELS)[some].mean() == pytest.approx(expected)
    assert all_right(PROBABILITIES, LABELS).mean() == known.accuracy_score(LABELS, said)
    sums = [known.log_loss(LABELS[:, i], PROBABILITIES[:, i], labels=[0, 1]) for i in range(5)]
    assert log_loss(PROBABILITIES, LABELS) == pytest.approx(sum(sums), rel=1e-6)
    expected = known.roc_auc_score(LABELS[:, :4], PROBABILITIES[:, :4])
    assert score("val_auc", PROBABILITIES[:, :4], LABELS[:, :4]) == pytest.approx(expected)


def test_an_image_without_a_class_is_right_where_none_is_said() -> None:
    labels = np.zeros((2, 3), np.uint8)
    probabilities = np.array([[0.1, 0.2, 0.3], [0.1, 0.6, 0.3]])
    assert jaccard(probabilities, labels).tolist() == [1.0, 0.0]
    assert right(probabilities, labels).tolist() == [True, False]
    assert right(probabilities, labels, np.array([0.5, 0.7, 0.5])).tolist() == [True, True]


def test_confidence_is_the_worst_mistake_or_else_the_closest_call() -> None:
    labels = np.array([[1, 0], [1, 0]], np.uint8)
    probabilities = np.array([[0.9, 0.4], [0.2, 0.6]])
    assert confidence(probabilities, labels) == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize("objective", objectives_of(sets=True))
def test_every_objective_is_higher_for_better_predictions_and_within_0_and_1(
    objective: str,
) -> None:
    sure = 0.98 * LABELS + 0.01
    assert 0 <= score(objective, PROBABILITIES, LABELS) < score(objective, sure, LABELS) <= 1
    assert score(objective, 1 - sure, LABELS) < score(objective, PROBABILITIES, LABELS)


def test_labels_of_both_kinds_are_counted_and_numbered() -> None:
    single = np.array([2, 0, 2])
    sets = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1]], np.uint8)
    assert label_sets.count(single, 4).tolist() == [1, 0, 2, 0]
    assert label_sets.count(sets, 3).tolist() == [1, 0, 3]
    first, second, third = label_sets.numbers(sets).tolist()
    assert first == third != second
    assert label_sets.has(sets, 0).tolist() == [False, True, False]
    assert label_sets.has(single, 2).tolist() == [True, False, True]
    assert label_sets.names(sets[1], ("a", "b", "c")) == ["a", "c"]
    assert label_sets.names(single[0], ("a", "b", "c")) == ["c"]
