from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_img.models.freezing import split
from automl_img.models.pretrained import application
from automl_img.models.weights import find_variant
from automl_img.trials import EpochResult, TrialSpec
from tests.training.trials import curve, train, trainer_of, with_

# A ladder of batch normalisation and convolutions; its last stage is what trains.
TWO_PHASES = {
    "backbone": "mobilenet",
    "mobilenet__frozen_layers": "73",
    "fine_tune__head_epochs": "2",
    "fine_tune__rate_factor": "0.1",
    "optimizer__name": "adam",
    "optimizer__learning_rate": "1e-3",
    "optimizer__schedule": "constant",
    "regularization__l2": "1e-4",
}


@pytest.fixture(scope="module")
def fine_tuned(pictures: TrialSpec, tmp_path_factory: pytest.TempPathFactory) -> TrialSpec:
    """A trial of four epochs, two of them of the head alone, on a network with (random) weights."""
    import keras

    variant = find_variant("mobilenet")
    assert variant is not None
    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("weights")
    weights = folder / "mine.weights.h5"
    application(variant, 32).save_weights(weights)
    fix = {**TWO_PHASES, "weights": str(weights)}
    return with_(pictures, folder / "trial", fix=fix, weights=str(weights), max_epochs=4)


def copied(model: Any) -> list[np.ndarray]:
    return [np.array(weight) for weight in model.get_weights()]


def moved(before: list[np.ndarray], after: list[np.ndarray]) -> list[bool]:
    return [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)]


@pytest.mark.slow
def test_the_head_trains_alone_first_then_what_is_not_frozen(
    fine_tuned: TrialSpec, tmp_path: Path
) -> None:
    trainer = trainer_of(with_(fine_tuned, tmp_path / "trial"))
    kernels, parts = [], []
    results: list[EpochResult] = []
    for result in trainer.epochs():
        results.append(result)
        parts.append(len(trainer.model.trained))
        kernels.append(copied(trainer.model.head.get_layer("logits")))
    assert parts == [1, 1, 2, 2]
    # The head goes on from where it was.
    assert all(all(moved(*pair)) for pair in pairwise(kernels))
    assert [each.learning_rate for each in results] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert abs(results[2].loss - results[1].loss) < 0.5

    variant = find_variant("mobilenet")
    assert variant is not None
    network = application(variant, 32)
    network.load_weights(fine_tuned.weights)
    prefix, suffix = split(network, 73)
    backbone = trainer.serving.get_layer("backbone")
    # Averages of batch normalisation stay as well.
    assert not any(moved(copied(prefix), copied(backbone.get_layer("prefix"))))
    assert copied(prefix)[0].std() > 0
    # Kernels, offsets and averages; what random weights bring to the last stages is too faint to
    # move a scale of 1 by one bit.
    kinds = [variable.name for variable in suffix.weights]
    changes = moved(copied(suffix), copied(backbone.get_layer("suffix")))
    still = {kind for kind, moves in zip(kinds, changes, strict=True) if not moves}
    assert still <= {"gamma"}
    assert {"kernel", "beta", "moving_mean", "moving_variance"} <= set(kinds)


@pytest.mark.slow
@pytest.mark.parametrize("after", [2, 3], ids=["at the boundary", "behind it"])
def test_a_resumed_trial_goes_on_in_its_phase(
    fine_tuned: TrialSpec, tmp_path: Path, after: int
) -> None:
    whole = train(with_(fine_tuned, tmp_path / "whole"))
    torn = with_(fine_tuned, tmp_path / "torn")
    for result in trainer_of(torn).epochs():
        if result.epoch == after:
            break
    resumed = train(torn)
    assert [each.epoch for each in resumed] == list(range(after, 5))
    assert np.array(curve(resumed)) == pytest.approx(np.array(curve(whole[after - 1 :])), abs=1e-4)
