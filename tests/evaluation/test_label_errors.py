"""Labels that were made wrong are found, by models that know better."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from automl_img.evaluation.label_errors import suspected_labels
from automl_img.runs import Predictions


def predictions(labels: np.ndarray, truth: np.ndarray, part: str, seed: int) -> Predictions:
    """What a model says that is right nine times of ten, of images whose labels are ``labels``."""
    rng = np.random.default_rng(seed)
    classes = 4
    logits = rng.normal(size=(len(truth), classes)) + 3.5 * np.eye(classes)[truth]
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    names = tuple(f"{part}/{row}.png" for row in range(len(truth)))
    return Predictions(labels, shares.astype(np.float32), names)


def test_most_of_what_was_made_wrong_is_found_and_little_else() -> None:
    truth = np.tile(np.arange(4), 100)
    labels = truth.copy()
    wrong = np.arange(0, 400, 20)
    labels[wrong] = (labels[wrong] + 1) % 4
    both = [predictions(labels, truth, "validation", seed) for seed in (0, 1)]
    clean = predictions(truth, truth, "test", 2)
    found = suspected_labels({"validation": both, "test": [clean]})
    assert found is not None
    assert found["images"] == 800
    assert found["suspected"] == len(found["shown"])
    named = {each["name"] for each in found["shown"]}
    right = named & {f"validation/{row}.png" for row in wrong}
    assert len(right) >= 18
    assert len(named) <= len(right) + 15
    first = found["shown"][0]
    assert first["probability"] < 0.1
    assert first["more_probable"] != first["label"]


def test_classes_without_images_and_numbers_that_are_none_do_no_harm() -> None:
    truth = np.tile([0, 2], 50)
    made = predictions(truth, truth, "test", 0)
    made.probabilities[3] = np.nan
    found = suspected_labels({"validation": [], "test": [made]})
    assert found is not None
    assert found["images"] == 100
    assert "test/3.png" not in {each["name"] for each in found["shown"]}


@pytest.mark.parametrize("parts", [{}, {"validation": []}])
def test_without_predictions_nothing_is_suspected(parts: dict[str, list[Predictions]]) -> None:
    found = suspected_labels(parts)
    assert found == {"images": 0, "accuracy": None, "suspected": None, "shown": []}


def test_a_model_that_is_often_wrong_suspects_nothing() -> None:
    truth = np.tile(np.arange(4), 100)
    labels = np.where(np.arange(400) % 5 < 2, (truth + 1) % 4, truth)
    found = suspected_labels({"test": [predictions(labels, truth, "test", 0)]})
    assert found is not None
    assert found["accuracy"] < 0.7
    assert (found["suspected"], found["shown"]) == (None, [])


def test_without_the_library_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    truth = np.tile(np.arange(4), 5)
    assert suspected_labels({"test": [predictions(truth, truth, "test", 0)]}) is None
