from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from automl_img.models import backbones
from automl_img.models.freezing import valid_cuts
from automl_img.models.pretrained import Variant, preprocess
from automl_img.plugins import leaves
from tests.models.networks import built, floats, noise, params_of

FAMILIES = [leaf for leaf in leaves(backbones) if hasattr(leaf, "FAMILY")]
VARIANTS = [variant for leaf in FAMILIES for variant in leaf.FAMILY.variants.values()]


def function_of(variant: Variant) -> Any:
    return getattr(keras.applications, variant.application)


def preprocessed(variant: Variant, images: np.ndarray, side: int) -> np.ndarray:
    inputs = keras.Input(images.shape[1:])
    # Identity, as a model must not give its input back untouched.
    outputs = keras.layers.Identity()(preprocess(inputs, variant, side))
    return floats(keras.Model(inputs, outputs)(images))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_preprocessing_is_that_of_keras_applications(variant: Variant) -> None:
    module = sys.modules[inspect.unwrap(function_of(variant)).__module__]
    images = noise(2, 8).astype("float32")
    expected = floats(module.preprocess_input(images.copy()))
    assert np.abs(preprocessed(variant, images, 8) - expected).max() < 1e-4
    inside = variant.preprocessing == "inside"
    assert inside == np.array_equal(expected, images)


def test_what_is_fine_tuned_is_validated_by_statistics_of_its_last_steps() -> None:
    family = next(leaf for leaf in FAMILIES if "mobilenet_v3_small" in leaf.VARIANTS)
    params = {"mobilenet_v3_small.frozen_layers": 0}
    network = family.build("mobilenet_v3_small", 32, 3, params, None)
    images = noise(16, 32).astype("float32") + 50.0
    for _ in range(120):
        network(images, training=True)
    trained, validated = floats(network(images, training=True)), floats(network(images))
    # With Keras's momentum of 0.999 they differ by as much as they are large.
    assert np.abs(trained - validated).mean() < 0.1 * np.abs(trained).mean()


def test_grey_images_are_shown_to_all_three_channels_and_small_ones_enlarged() -> None:
    variant = VARIANTS[0]
    grey = noise(2, 8, 1).astype("float32")
    same = preprocessed(variant, np.repeat(grey, 3, axis=-1), 16)
    found = preprocessed(variant, grey, 16)
    assert found.shape == (2, 16, 16, 3)
    assert np.array_equal(found, same)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_is_what_it_says(
    variant: Variant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its weights file is the one that Keras asks for, its cuts are cuts of the real network."""
    asked = []

    def record(fname: str, origin: str, **options: object) -> str:
        asked.append((fname, options.get("cache_subdir")))
        return str(tmp_path / "none.h5")

    monkeypatch.setattr(file_utils, "get_file", record)
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
    side = variant.minimum
    network = function_of(variant)(include_top=False, input_shape=(side, side, 3))
    assert asked == [(variant.weights_file, "models")]

    cuts = valid_cuts(network)
    assert set(variant.cuts) <= cuts.keys()
    assert list(variant.cuts) == sorted(set(variant.cuts))
    assert variant.cuts[-1] == len(network.operations)
    # The ends of stages: the resolution falls right behind a cut, or the network is over.
    sides = [network.operations[cut - 1].output.shape[1] for cut in variant.cuts]
    assert sides == sorted(sides, reverse=True)

    own = {type(layer).__name__ for layer in network.layers}
    assert (variant.preprocessing == "inside") == bool(own & {"Rescaling", "Normalization"})
    keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_no_variant_takes_less_than_its_minimum(variant: Variant) -> None:
    below = variant.minimum - 1
    with pytest.raises(ValueError, match="at least"):
        function_of(variant)(weights=None, include_top=False, input_shape=(below, below, 3))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.split(".")[-1])
def test_a_family_freezes_all_of_a_pretrained_network_by_default(family: Any) -> None:
    variant = family.FAMILY.variants[family.VARIANTS[0]]
    params = params_of(backbone=variant.name)
    assert params[f"{variant.name}.frozen_layers"] == variant.cuts[-1]
    assert [name for name in params if name.endswith("frozen_layers")] == [
        f"{variant.name}.frozen_layers"
    ]
    # From random weights there is nothing to keep.
    scratch = params_of(backbone=variant.name, weights="none")
    assert not any(name.startswith(("fine_tune", variant.name)) for name in scratch)


def test_frozen_layers_do_not_train() -> None:
    whole = built(32, backbone="vgg16")
    assert [v.path.split("/")[0] for v in whole.trainable_variables] == ["logits", "logits"]
    half = built(32, backbone="vgg16", vgg16__frozen_layers="15")
    kernels = [v for v in half.trainable_variables if v.name == "kernel"]
    assert len(kernels) == 3 + 1
    assert half.count_params() == whole.count_params()
    keras.backend.clear_session()


def features_change(name: str, **fix: str) -> bool:
    """Whether a backbone gives something else while it is trained than when it predicts."""
    model = built(32, backbone=name, **fix).get_layer("backbone")
    images = noise(4, 32).astype("float32")
    return not np.array_equal(floats(model(images, training=True)), floats(model(images)))


@pytest.mark.slow
def test_nothing_is_random_in_a_frozen_network() -> None:
    # `fit` tells every layer that it trains, and EfficientNet drops whole blocks then.
    assert not features_change("efficientnet_v2_b0")
    assert features_change("efficientnet_v2_b0", weights="none")
    keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.split(".")[-1])
def test_a_frozen_network_gives_in_training_what_it_predicts(family: Any) -> None:
    assert not features_change(family.VARIANTS[0])
    keras.backend.clear_session()
