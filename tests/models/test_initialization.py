from __future__ import annotations

from types import ModuleType

import keras
import numpy as np
import pytest

from automl_img.models import backbones
from automl_img.models.initialization import initialize, without_initializer
from automl_img.models.network import ImageFacts, TrainingModel, training_model
from automl_img.plugins import leaf_names, leaves
from automl_img.trials import Params
from tests.models.networks import floats, params_of


def smallest(family: ModuleType) -> tuple[Params, ImageFacts]:
    shared = getattr(family, "FAMILY", None)
    size = shared.variants[family.VARIANTS[0]].minimum if shared else 8
    own = {"weights": "none"} if shared else {}
    return params_of(backbone=family.VARIANTS[0], **own), ImageFacts(size, 3, 3, flips=True)


def model_of(family: ModuleType, seed: int) -> TrainingModel:
    """The smallest network of a family, built while Keras's own seed is ``seed``."""
    keras.utils.set_random_seed(seed)
    return training_model(*smallest(family), None)


@pytest.mark.slow
@pytest.mark.parametrize("family", leaves(backbones), ids=leaf_names(backbones))
def test_every_random_weight_of_a_family_is_drawn_anew(family: ModuleType) -> None:
    one, other = model_of(family, 1), model_of(family, 2)
    for mine, theirs in zip(one.trained, other.trained, strict=True):
        # What no initializer is known for is no random number.
        for left, right in zip(without_initializer(mine), without_initializer(theirs), strict=True):
            assert np.array_equal(floats(left), floats(right)), left.path
    for weight in one.trained[0].weights:
        weight.assign(weight + 1.0)
    params, _ = smallest(family)
    one.start(params, seed=7)
    other.start(params, seed=7)
    for left, right in zip(one.weights, other.weights, strict=True):
        assert np.array_equal(floats(left), floats(right)), left.path
    before = [floats(weight) for weight in one.weights]
    one.start(params, seed=8)
    moved = [
        weight.path
        for weight, old in zip(one.weights, before, strict=True)
        if not np.array_equal(floats(weight), old)
    ]
    kernels = [weight.path for weight in one.trainable_weights if weight.name.endswith("kernel")]
    assert set(kernels) <= set(moved)
    keras.backend.clear_session()


def test_drawn_weights_have_the_spread_of_their_initializer() -> None:
    layer = keras.layers.Dense(400, kernel_initializer="he_normal", name="wide")
    model = keras.Sequential([keras.Input((300,)), layer, keras.layers.BatchNormalization()])
    initialize(model, seed=0)
    kernel = floats(layer.kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert abs(kernel.mean()) < 0.001
    assert not floats(layer.bias).any()
    # Two layers of the same shape do not get the same numbers.
    twins = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dense(8)])
    initialize(twins, seed=0)
    assert not np.array_equal(*(floats(each.kernel) for each in twins.layers))
    assert without_initializer(model) == []
