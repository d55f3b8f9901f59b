from __future__ import annotations

import json

import numpy as np
import pytest

from automl_img.evaluation.coarse import score_coarse
from automl_img.files import json_safe

COARSE = ("fruit", "fruit", "milk")


def test_a_coarser_class_is_as_probable_as_its_classes_together() -> None:
    labels = np.array([0, 0, 1, 2])
    # Of the first, milk is the most probable class, and fruit the most probable coarser one.
    probabilities = np.array([[0.3, 0.3, 0.4], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])
    found = score_coarse(labels, probabilities, COARSE)
    assert found["classes"] == ["fruit", "milk"]
    assert found["coarse_of_class"] == [0, 0, 1]
    assert found["confusion"] == [[3, 0], [1, 0]]
    assert found["accuracy"] == 0.75
    # Wrong are milk for apple, another fruit, and fruit for milk.
    assert found["within"] == pytest.approx(1 / 3)
    json.dumps(json_safe(found), allow_nan=False)


def test_without_a_mistake_nothing_is_within() -> None:
    found = score_coarse(np.arange(3), np.eye(3), COARSE)
    assert (found["accuracy"], found["within"]) == (1.0, None)


def test_probabilities_that_are_no_numbers_are_told_and_no_error() -> None:
    broken = np.eye(3)
    broken[0, 0] = np.nan
    found = score_coarse(np.arange(3), broken, COARSE)
    assert found["log_loss"] is None
    json.dumps(json_safe(found), allow_nan=False)
