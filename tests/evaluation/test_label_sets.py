from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from sklearn import metrics as known

from automl_img.errors import DataError
from automl_img.evaluation.label_sets import best_thresholds, score_sets
from automl_img.files import json_safe

RNG = np.random.default_rng(1)
NAMES = ("apple", "milk", "never")
LABELS = (RNG.random((120, 3)) < [0.4, 0.1, 0.0]).astype(np.uint8)
PROBABILITIES = (0.3 * LABELS + 0.6 * RNG.random((120, 3))).astype(np.float32)


def test_no_other_threshold_has_a_higher_f1() -> None:
    found = best_thresholds(LABELS, PROBABILITIES)
    mine, scores = LABELS[:, 0], PROBABILITIES[:, 0]
    best = max(known.f1_score(mine, scores >= value) for value in scores)
    assert known.f1_score(mine, scores >= found[0]) == pytest.approx(best)


def test_rare_classes_share_a_threshold_the_one_of_the_highest_f1_over_all_of_them() -> None:
    assert 0 < LABELS[:, 1].sum() < 20
    found = best_thresholds(LABELS, PROBABILITIES)
    assert found[1] == found[2]
    mine, scores = LABELS[:, 1:].ravel(), PROBABILITIES[:, 1:].ravel()
    best = max(known.f1_score(mine, scores >= value) for value in scores)
    assert known.f1_score(mine, scores >= found[1]) == pytest.approx(best)
    nobody = best_thresholds(np.zeros((5, 2), np.uint8), np.zeros((5, 2)))
    assert nobody.tolist() == [0.5, 0.5]


def test_thresholds_lie_between_probabilities_and_tell_no_equals_apart() -> None:
    labels = np.array([[1], [0], [1], [0], [0]] * 20, np.uint8)
    scores = np.array([[0.9], [0.9], [0.9], [0.3], [0.1]] * 20)
    assert best_thresholds(labels, scores) == pytest.approx([0.6])
    every = np.ones((20, 1), np.uint8), np.array([[0.4], [0.2]] * 10)
    assert best_thresholds(*every) == pytest.approx([0.1])


def test_scores_are_those_of_scikit_learn_at_the_thresholds() -> None:
    thresholds = best_thresholds(LABELS, PROBABILITIES)
    said = thresholds <= PROBABILITIES
    found = score_sets(LABELS, PROBABILITIES, NAMES, thresholds)
    assert found["accuracy"] == known.accuracy_score(LABELS, said)
    assert found["hamming_loss"] == pytest.approx(known.hamming_loss(LABELS, said))
    assert found["micro_f1"] == pytest.approx(known.f1_score(LABELS, said, average="micro"))
    two = LABELS[:, :2], said[:, :2]
    assert found["macro_f1"] == pytest.approx(known.f1_score(*two, average="macro"))
    expected = known.average_precision_score(LABELS[:, :2], PROBABILITIES[:, :2])
    assert found["mean_average_precision"] == pytest.approx(expected)
    for name in ("mean_average_precision", "jaccard"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    apple = found["per_class"][0]
    assert apple["support"] == LABELS[:, 0].sum()
    assert apple["precision"] == pytest.approx(known.precision_score(LABELS[:, 0], said[:, 0]))
    assert apple["recall_low"] < apple["recall"] <= apple["recall_high"]
    assert apple["threshold"] == found["thresholds"][0] == thresholds[0]
    never = found["per_class"][2]
    assert (never["recall"], never["average_precision"]) == (None, None)
    assert (found["baseline"], found["baseline_class"]) == (
        (LABELS.sum(axis=1) == 0).mean(),
        "none of the classes",
    )
    assert len(found["curves"]["classes"]) == 2, "the class without images has no curve"
    json.dumps(json_safe(found), allow_nan=False)


def test_probabilities_that_are_no_numbers_leave_what_can_be_told() -> None:
    broken = PROBABILITIES.copy()
    broken[0, 0] = np.nan
    found = score_sets(LABELS, broken, NAMES, np.full(3, 0.5))
    assert found["mean_average_precision"] is None
    assert "finite" in found["undefined"]["mean_average_precision"]
    assert 0 <= found["jaccard"] <= 1
    json.dumps(json_safe(found), allow_nan=False)


@pytest.mark.parametrize("shape", [(0, 3), (2, 2)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="must have the shape"):
        score_sets(np.zeros(shape, np.uint8), np.zeros(shape), NAMES, np.full(3, 0.5))


def test_every_set_of_two_classes_can_be_right() -> None:
    labels = np.array(list(itertools.product((0, 1), repeat=2)), np.uint8)
    found = score_sets(labels, labels.astype(float), ("a", "b"), np.full(2, 0.5))
    assert (found["accuracy"], found["jaccard"], found["roc_auc"]) == (1, 1, 1)
