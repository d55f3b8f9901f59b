"""Scores that a search can aim at, against scikit-learn, and by hand where it has none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from automl_img import metrics
from automl_img.evaluation.intervals import variance_of_difference


def predictions(images: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the labels, of which the first is the most frequent."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.4, images) - 1, classes - 1)
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[labels]
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 5])
def test_each_score_is_that_of_scikit_learn(classes: int) -> None:
    given, labels = predictions(300, classes, seed=classes)
    said = given.argmax(axis=1)
    expected = {
        "val_accuracy": theirs.accuracy_score(labels, said),
        "val_balanced_accuracy": theirs.balanced_accuracy_score(labels, said),
        "val_macro_f1": theirs.f1_score(labels, said, average="macro"),
        "val_auc": theirs.roc_auc_score(
            labels, given[:, 1] if classes == 2 else given, multi_class="ovr"
        ),
        "val_loss": np.exp(-theirs.log_loss(labels, given)),
    }
    assert set(expected) == set(metrics.objectives_of(sets=False))
    for name, value in expected.items():
        assert metrics.score(name, given, labels) == pytest.approx(value)


@pytest.mark.parametrize("name", metrics.objectives_of(sets=False))
def test_of_one_class_alone_each_score_is_a_number_in_its_range(name: str) -> None:
    given, _ = predictions(10, 3, seed=0)
    found = metrics.score(name, given, np.ones(10, np.int64))
    assert 0 <= found <= 1


@pytest.mark.parametrize("name", metrics.objectives_of(sets=False))
def test_a_better_prediction_scores_higher(name: str) -> None:
    given, labels = predictions(300, 4, seed=1)
    better = 0.5 * given + 0.5 * np.eye(4)[labels]
    assert metrics.score(name, better, labels) > metrics.score(name, given, labels)


def test_the_bootstrap_of_a_difference_agrees_with_the_closed_form() -> None:
    # With as many images of each class both scores are the same number.
    given, _ = predictions(400, 4, seed=2)
    labels = np.tile(np.arange(4), 100)
    one = 0.4 * given + 0.6 * np.eye(4)[labels]
    other = np.roll(one, 1, axis=0) * 0.3 + 0.7 * one
    exact = variance_of_difference("val_accuracy", labels, [one, given], [other, given])
    drawn = variance_of_difference("val_balanced_accuracy", labels, [one, given], [other, given])
    assert exact > 0
    assert drawn == pytest.approx(exact, rel=0.4)


@pytest.mark.parametrize("name", metrics.objectives_of(sets=False))
def test_two_that_predict_the_same_differ_by_nothing(name: str) -> None:
    given, labels = predictions(100, 3, seed=3)
    assert variance_of_difference(name, labels, [given], [given]) == 0


def test_a_bootstrap_that_would_take_minutes_is_left_out() -> None:
    labels = (np.random.default_rng(0).random((20_000, 300)) < 0.1).astype(np.uint8)
    given = np.full(labels.shape, 0.5, np.float32)
    assert variance_of_difference("val_map", labels, [given], [given]) is None
