from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from automl_img.errors import DataError
from automl_img.evaluation.scores import score
from automl_img.files import json_safe


def sure(predicted: list[int], classes: int, confidence: float = 0.9) -> np.ndarray:
    """Probabilities that put ``confidence`` on the predicted class and the rest on the others."""
    rest = (1 - confidence) / max(1, classes - 1)
    rows = np.full((len(predicted), classes), rest)
    rows[np.arange(len(predicted)), predicted] = confidence
    return rows


def test_a_case_counted_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    found = score(labels, sure([0, 0, 1, 1, 1, 0], 3), ["a", "b", "c"])
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert (found["images"], found["correct"]) == (6, 4)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["macro_precision"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert (found["baseline"], found["baseline_class"]) == (0.5, "a")
    by_class = {row["name"]: row for row in found["per_class"]}
    assert by_class["c"]["recall"] == 0.0
    assert by_class["c"]["precision"] is None, "it was never said, so it has no precision"
    assert by_class["a"]["support"] == 3


def test_it_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 6, 400)
    probabilities = rng.dirichlet(np.ones(6), 400)
    probabilities[np.arange(400), labels] += 0.3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    found = score(labels, probabilities, [str(i) for i in range(6)])
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_precision": metrics.precision_score(labels, predicted, average="macro"),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "roc_auc": metrics.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "log_loss": metrics.log_loss(labels, probabilities),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "top_k": metrics.top_k_accuracy_score(labels, probabilities, k=3),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_interval_of_the_accuracy_is_wilsons() -> None:
    found = score(np.zeros(10, dtype=int), sure([0] * 9 + [1], 2), ["a", "b"])
    known = binomtest(9, 10).proportion_ci(0.95, method="wilson")
    assert found["accuracy_interval"] == pytest.approx((known.low, known.high))


def test_bootstrap_intervals_are_those_of_resampled_images() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    predicted = np.where(rng.random(300) < 0.8, labels, rng.integers(0, 3, 300))
    found = score(labels, sure(predicted.tolist(), 3), ["a", "b", "c"])
    draws = []
    for _ in range(400):
        rows = rng.integers(0, 300, 300)
        draws.append(metrics.balanced_accuracy_score(labels[rows], predicted[rows]))
    assert found["balanced_accuracy_interval"] == pytest.approx(
        np.quantile(draws, [0.025, 0.975]), abs=0.015
    )


def test_two_classes_take_the_auc_of_the_second() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.5, 0.5], [0.1, 0.9]])
    found = score(labels, probabilities, ["no", "yes"])
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities[:, 1]))
    assert found["top_k"] is None
    assert "top_k" in found["undefined"]


def test_a_class_without_test_images_drags_nothing_down() -> None:
    labels = np.array([0, 0, 2, 2, 3, 3])
    found = score(labels, sure([0, 0, 2, 2, 3, 3], 4), ["a", "absent", "c", "d"])
    assert found["balanced_accuracy"] == found["macro_f1"] == found["roc_auc"] == 1.0
    absent = found["per_class"][1]
    assert (absent["support"], absent["recall"], absent["recall_low"]) == (0, None, None)


def test_one_class_only_says_what_is_not_defined() -> None:
    found = score(np.array([1, 1]), sure([1, 1], 3), ["a", "b", "c"])
    assert found["roc_auc"] is None
    assert found["mcc"] is None
    assert found["undefined"]["roc_auc"] == "all test images are of one class"


def test_not_finite_probabilities_lose_only_the_scores_that_need_them() -> None:
    probabilities = sure([0, 1, 1], 2)
    probabilities[0] = np.nan
    found = score(np.array([0, 1, 0]), probabilities, ["a", "b"])
    assert found["log_loss"] is None
    assert found["undefined"]["log_loss"] == "some probabilities are not finite numbers"
    assert found["accuracy"] is not None


def test_the_scores_are_plain_json_and_the_same_twice() -> None:
    labels, probabilities = np.array([0, 1, 2, 0]), sure([0, 1, 1, 0], 3)
    first = score(labels, probabilities, ("a", "b", "c"))
    again = score(labels, probabilities, ("a", "b", "c"))
    assert json.dumps(json_safe(first), allow_nan=False) == json.dumps(json_safe(again))


def test_over_200_classes_the_matrix_is_a_list_of_its_cells() -> None:
    found = score(np.array([0, 0, 250]), sure([0, 7, 250], 300), [str(i) for i in range(300)])
    assert found["confusion"] is None
    assert found["confusion_cells"] == [[0, 0, 1], [0, 7, 1], [250, 250, 1]]


@pytest.mark.parametrize(
    ("labels", "shape", "rule"),
    [
        ([0, 1], (2, 3), "shape"),
        ([], (0, 2), "at least one image"),
        ([0, 2], (2, 2), "labels must be in 0..1"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    labels: list[int], shape: tuple[int, int], rule: str
) -> None:
    with pytest.raises(DataError, match=rule):
        score(np.array(labels, dtype=int), np.ones(shape), ["a", "b"])


def test_many_images_and_classes_take_seconds_at_most() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 100, 10_000)
    probabilities = rng.dirichlet(np.ones(100), 10_000)
    # Of the processor, so that what else runs does not count.
    began = time.process_time()
    found = score(labels, probabilities, [str(i) for i in range(100)])
    assert time.process_time() - began < 10
    low, high = found["macro_f1_interval"]
    assert low < high < 0.05
