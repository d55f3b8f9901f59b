from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from automl_img.evaluation.curves import curves


def noisy(classes: int, images: int, skill: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(images) % classes
    odds = np.exp(rng.normal(size=(images, classes)) + skill * np.eye(classes)[labels])
    return labels, odds / odds.sum(axis=1, keepdims=True)


def test_the_thinned_curve_keeps_the_area() -> None:
    labels, probabilities = noisy(4, 400, 1.0)
    found = curves(labels, probabilities)
    assert found
    for one in found["classes"]:
        mine, scores = labels == one["index"], probabilities[:, one["index"]]
        assert one["auc"] == pytest.approx(metrics.roc_auc_score(mine, scores))
        assert metrics.auc(found["grid"], one["roc"]) == pytest.approx(one["auc"], abs=0.01)
        assert one["average_precision"] == pytest.approx(
            metrics.average_precision_score(mine, scores)
        )


def test_precision_falls_and_the_true_positive_rate_rises() -> None:
    found = curves(*noisy(3, 300, 1.0))
    assert found
    assert np.all(np.diff(found["classes"][0]["pr"]) <= 0)
    assert np.all(np.diff(found["classes"][0]["roc"]) >= 0)
    assert found["roc"][-1] == 1.0


def test_a_perfect_model_has_perfect_curves() -> None:
    labels, probabilities = noisy(3, 90, 50.0)
    found = curves(labels, probabilities)
    assert found
    assert set(found["roc"]) == set(found["pr"]) == {1.0}


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    labels, probabilities = noisy(4, 400, 50.0)
    keep = labels != 2
    found = curves(labels[keep], probabilities[keep])
    assert found
    assert found["average_precision"] == 1.0
    assert 2 not in [one["index"] for one in found["classes"]]


def test_two_classes_have_the_curve_of_the_second() -> None:
    found = curves(*noisy(2, 100, 1.0))
    assert found
    assert [one["index"] for one in found["classes"]] == [1]


def test_one_class_only_has_none() -> None:
    assert curves(np.zeros(5, dtype=int), np.full((5, 2), 0.5)) is None
