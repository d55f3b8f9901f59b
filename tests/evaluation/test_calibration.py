from __future__ import annotations

import numpy as np
import pytest

from automl_img.evaluation.calibration import calibration


def test_the_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, False, True, True])
    found = calibration(confidence, correct, seed=0)
    assert found["ece"] == pytest.approx(0.5 * abs(0.5 - 0.95) + 0.5 * abs(1.0 - 0.55))
    assert [item["images"] for item in found["bins"]] == [2, 2]


def test_a_calibrated_model_stays_within_what_chance_gives() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1.0, 2000)
    found = calibration(confidence, rng.random(2000) < confidence, seed=0)
    assert 0 < found["ece_null"] < found["ece_null_high"]
    assert found["ece"] <= found["ece_null_high"] * 1.2


def test_an_overconfident_model_is_beyond_chance() -> None:
    rng = np.random.default_rng(1)
    found = calibration(np.full(500, 0.95), rng.random(500) < 0.7, seed=0)
    assert found["ece"] > 3 * found["ece_null_high"]
