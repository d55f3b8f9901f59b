from __future__ import annotations

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_img.errors import SpaceError
from automl_img.models.hypermodel import (
    ImageClassifier,
    bind,
    register,
)
from automl_img.models.hyperparameters import declared
from automl_img.models.network import ImageFacts
from automl_img.space.dimensions import Choice, Float, Int, SearchSpace
from automl_img.space.presets import build_space, find_preset, preset_names, read_preset
from tests.models.networks import floats, params_of, space_of
from tests.pictures import COLOURS, picture
from tests.space import dims

FACTS = ImageFacts(8, 3, 3, flips=True)


@pytest.mark.slow
def test_a_plain_random_search_of_kerastuner_drives_the_same_class(tmp_path: Path) -> None:
    # `Tuner.search` imports tensorboard, which TensorFlow 2.21 does not install any more: who
    # drives the class this way installs it beside, as the dev extra does.
    pytest.importorskip("tensorboard")
    rng = np.random.default_rng(0)
    labels = np.arange(48) % 3
    colours = list(COLOURS)
    images = np.stack([np.asarray(picture(colours[label], 8, rng)) for label in labels])
    search = {"cnn.filters": "8..16", "optimizer.name": "adam,sgd", "augment.strength": "0..1"}
    space = space_of(search, backbone="cnn", cnn__depth="1", cnn__convolutions="1")
    tuner = keras_tuner.RandomSearch(
        ImageClassifier(FACTS, space),
        objective="val_accuracy",
        max_trials=2,
        seed=1,
        directory=tmp_path,
        project_name="plain",
    )
    tuner.search(
        images[:36], labels[:36], epochs=1, validation_data=(images[36:], labels[36:]), verbose=0
    )
    trials = tuner.oracle.get_best_trials(2)
    assert len(trials) == 2
    for trial in trials:
        assert trial.status == "COMPLETED"
        assert 0 <= trial.score <= 1
        values = trial.hyperparameters.values
        space.validate(space.nearest(values))
        assert {name: values[name] for name in search} == {
            name: space.nearest(values)[name] for name in search
        }
    assert trials[0].hyperparameters.values != trials[1].hyperparameters.values
    model = tuner.hypermodel.build(trials[0].hyperparameters)
    assert floats(model(images[:2], training=False)).shape == (2, 3)


@settings(max_examples=100, deadline=None)
@given(dimension=dims.floats() | dims.ints() | dims.choices, seed=st.integers(0, 10**6))
def test_kerastuner_stays_inside_any_dimension(dimension: Float | Int | Choice, seed: int) -> None:
    hp = keras_tuner.HyperParameters()
    register((dimension,), hp)
    [known] = hp.space
    for each in range(3):
        value = known.random_sample(seed + each)
        if not dimension.contains(value):
            # Its logarithm may be a rounding off at the ends.
            assert isinstance(dimension, Float)
            assert dimension.log
            assert value == pytest.approx(dimension.nearest(value), rel=1e-12)
    assert dimension.contains(hp.get("x"))


@pytest.mark.parametrize("name", preset_names())
def test_kerastuner_stays_inside_every_preset(name: str) -> None:
    space = build_space(name, read_preset(find_preset(name)), declared(), {}, {})
    hp = keras_tuner.HyperParameters()
    register(space.dimensions, hp)
    for seed in range(20):
        values = {known.name: known.random_sample(seed) for known in hp.space}
        for dimension in space.dimensions:
            assert dimension.contains(values[dimension.name]), dimension.name


def test_both_ends_of_a_range_are_reached_by_kerastuner() -> None:
    hp = keras_tuner.HyperParameters()
    register((Int("x", 2, 4, None), Int("y", 1, 7, None, step=3)), hp)
    seen = [{known.random_sample(seed) for seed in range(200)} for known in hp.space]
    assert seen == [{2, 3, 4}, {1, 4, 7}]


def test_bound_values_are_read_as_they_are() -> None:
    params = params_of(cnn__batch_normalization="false", optimizer__learning_rate="0.00123")
    hp = bind(params)
    assert {name: hp.get(name) for name in params} == params
    assert hp.get("cnn.batch_normalization") is False
    with pytest.raises((KeyError, ValueError)):
        hp.get("cnn.fliters")


def test_values_of_branches_that_do_not_count_change_nothing() -> None:
    space = space_of({"optimizer.name": "adam,sgd"}, backbone="cnn", cnn__depth="1")
    hp = keras_tuner.HyperParameters()
    register(space.dimensions, hp)
    assert "optimizer.momentum" in hp.values
    hp.values["optimizer.name"] = "adam"
    model = ImageClassifier(FACTS, space).build(hp)
    assert isinstance(model.optimizer, keras.optimizers.Adam)


def test_out_of_range_values_are_found_before_they_are_bound() -> None:
    space = space_of(backbone="cnn")
    with pytest.raises(SpaceError, match="batch_size"):
        space.validate({**space.nearest({}), "batch_size": 10**6})


def test_a_space_of_one_point_can_be_registered() -> None:
    space = SearchSpace("one", space_of(backbone="cnn", cnn__depth="1").dimensions, frozenset())
    model = ImageClassifier(FACTS, space).build(keras_tuner.HyperParameters())
    assert model.output_shape == (None, 3)
