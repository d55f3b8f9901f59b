from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from automl_img.export.keras import export_keras, load_keras
from automl_img.models.ensemble import ensemble_model
from automl_img.models.network import ImageFacts, serving_model, training_model
from automl_img.training.predict import predict_rows
from tests.models.networks import floats, noise, params_of

FACTS = ImageFacts(image_size=8, channels=3, classes=4, flips=True)
IMAGES = noise(20, 8)
WEIGHTS = (0.5, 0.2, 0.3)


def classifier(seed: int, **fix: str) -> Any:
    """A serving model with random weights, its logits far enough apart to tell classes."""
    params = params_of(**fix)
    model = training_model(params, FACTS, None)
    model.start(params, seed)
    serving = serving_model(params, FACTS, None, model)
    kernel = serving.get_layer("head").get_layer("logits").kernel
    kernel.assign(50 * kernel)
    return serving


@pytest.fixture(scope="module")
def members() -> list[Any]:
    """Three networks of two shapes, with the same names inside."""
    return [classifier(0), classifier(1), classifier(2, cnn__depth="2")]


@pytest.fixture(scope="module")
def expected(members: list[Any]) -> np.ndarray:
    """The weighted mean of what the members predict alone."""
    alone = [floats(predict_rows(model, IMAGES, np.arange(len(IMAGES)))) for model in members]
    # Else another weight would go unnoticed.
    for one, other in itertools.combinations(alone, 2):
        assert np.abs(one - other).max() > 0.1
        assert one.max() < 0.99
    return np.einsum("m,mic->ic", WEIGHTS, alone)


def test_the_softmax_of_its_logits_is_the_weighted_mean_of_the_members(
    members: list[Any], expected: np.ndarray
) -> None:
    model = ensemble_model(members, WEIGHTS)
    assert model.input.dtype == "uint8"
    assert (model.input_shape, model.output_shape) == ((None, 8, 8, 3), (None, 4))
    found = predict_rows(model, IMAGES, np.arange(len(IMAGES)))
    assert np.abs(found - expected).max() < 1e-6
    assert found.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-6)


def test_of_several_classes_the_sigmoid_of_its_logits_is_the_weighted_mean(
    members: list[Any],
) -> None:
    rows = np.arange(len(IMAGES))
    alone = [floats(predict_rows(each, IMAGES, rows, multi_label=True)) for each in members]
    model = ensemble_model(members, WEIGHTS, multi_label=True)
    found = predict_rows(model, IMAGES, rows, multi_label=True)
    assert np.abs(found - np.einsum("m,mic->ic", WEIGHTS, alone)).max() < 1e-5
    assert np.abs(found.sum(axis=1) - 1).max() > 0.1


def test_it_is_exported_as_one_file_that_loads_without_code_of_ours(
    members: list[Any], expected: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "model.keras"
    names = ("a", "b", "c", "d")
    export_keras(ensemble_model(members, WEIGHTS), names, path, IMAGES, expected)
    loaded = load_keras(path)
    assert loaded.class_names == names
    assert (loaded.image_size, loaded.channels) == (8, 3)
    assert np.abs(loaded.predict(IMAGES) - expected).max() < 1e-6
    plain = keras.models.load_model(path, safe_mode=True)
    assert np.abs(floats(plain(IMAGES, training=False)) - expected).max() < 1e-6
    assert {type(part).__module__.split(".")[0] for part in plain._flatten_layers()} == {"keras"}
    assert len({layer.name for layer in plain.layers}) == len(plain.layers)


def test_the_members_stay_as_they_were(members: list[Any]) -> None:
    before = [floats(model(IMAGES, training=False)) for model in members]
    ensemble_model(members, WEIGHTS)
    assert [model.name for model in members] == ["classifier"] * 3
    for model, old in zip(members, before, strict=True):
        assert np.array_equal(floats(model(IMAGES, training=False)), old)


def test_one_member_alone_predicts_as_it_does(members: list[Any]) -> None:
    rows = np.arange(len(IMAGES))
    alone = predict_rows(members[0], IMAGES, rows)
    model = ensemble_model(members[:1], (1.0,))
    assert np.abs(predict_rows(model, IMAGES, rows) - alone).max() < 1e-6


def test_members_that_are_sure_give_finite_logits() -> None:
    # The softmax of these is 0 in float32 for all classes but one.
    sure = classifier(3)
    kernel = sure.get_layer("head").get_layer("logits").kernel
    kernel.assign(1e5 * kernel)
    logits = floats(ensemble_model([sure, sure], (0.5, 0.5))(IMAGES, training=False))
    assert np.isfinite(logits).all()
    assert logits.max(axis=1) == pytest.approx(np.zeros(20), abs=1e-5)


def test_it_is_in_float32_where_training_is_not(members: list[Any], expected: np.ndarray) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = ensemble_model(members, WEIGHTS)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    found = predict_rows(model, IMAGES, np.arange(len(IMAGES)))
    assert np.abs(found - expected).max() < 1e-6
