from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from automl_img.models.freezing import split, valid_cuts
from automl_img.models.pretrained import application
from automl_img.models.weights import find_variant
from tests.models.networks import floats, noise


@pytest.fixture
def residual() -> Any:
    """input, conv, bn | branch: drop, conv2, bn2; sum | bare add | relu: nine operations."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn")(x)
    y = keras.layers.Dropout(0.5, name="drop")(x)
    y = keras.layers.Conv2D(4, 3, padding="same", name="conv2")(y)
    y = keras.layers.BatchNormalization(name="bn2")(y)
    x = keras.layers.Add(name="sum")([x, y])
    # A bare operator is no layer, but it is an operation.
    x = x + x
    return keras.Model(inputs, keras.layers.ReLU(name="relu")(x))


def test_a_cut_is_where_all_that_follows_needs_one_output_only(residual: Any) -> None:
    names = [operation.name for operation in residual.operations]
    assert len(residual.layers) < len(names) == 9
    cuts = valid_cuts(residual)
    # Inside the branch (drop, conv2, bn2) the sum would still need the output of bn.
    assert list(cuts) == [1, 2, 3, 7, 8, 9]
    assert [cuts[3], cuts[7], cuts[9]] == ["bn", "sum", "relu"]


@pytest.mark.parametrize("frozen", [1, 2, 3, 7, 8, 9])
def test_both_parts_in_a_row_are_the_whole(residual: Any, frozen: int) -> None:
    images = noise(3, 8).astype("float32")
    prefix, suffix = split(residual, frozen)
    assert (suffix is None) == (frozen == 9)
    features = prefix(images, training=False)
    found = features if suffix is None else suffix(features, training=False)
    assert np.array_equal(floats(found), floats(residual(images, training=False)))


def test_without_a_cut_all_of_it_is_the_suffix(residual: Any) -> None:
    prefix, suffix = split(residual, 0)
    assert prefix is None
    images = noise(3, 8).astype("float32")
    assert np.array_equal(floats(suffix(images)), floats(residual(images)))


def test_training_moves_the_suffix_and_nothing_of_the_prefix(residual: Any) -> None:
    prefix, suffix = split(residual, 7)
    # Behind the cut there must be something to train.
    inputs = keras.Input((8, 8, 3))
    x = suffix(prefix(inputs))
    x = keras.layers.BatchNormalization(name="after")(x)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    before = [np.array(weight) for weight in prefix.get_weights()]
    after = [np.array(weight) for weight in model.get_layer("after").get_weights()]
    images, labels = noise(64, 8).astype("float32"), np.arange(64) % 3
    once = floats(prefix(images, training=False))
    model.fit(images, labels, epochs=2, verbose=0)
    # Averages of batch normalisation included: they are weights that do not train.
    assert len(before) == 12
    assert all(map(np.array_equal, before, prefix.get_weights()))
    assert not any(map(np.array_equal, after, model.get_layer("after").get_weights()))
    # Nor does its dropout: the features can be computed once and kept.
    assert np.array_equal(once, floats(prefix(images, training=True)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg16", 32),
        ("resnet50", 64),
        ("xception", 71),
        ("mobilenet_v2", 64),
        ("efficientnet_v2_b0", 64),
        ("convnext_tiny", 64),
    ],
)
def test_every_cut_of_a_real_network_is_exact(name: str, size: int) -> None:
    variant = find_variant(name)
    assert variant is not None
    keras.utils.set_random_seed(0)
    network = application(variant, size)
    images = noise(2, size).astype("float32") / 127.5 - 1
    whole = floats(network(images, training=False))
    assert whole.any()
    for frozen in variant.cuts:
        prefix, suffix = split(network, frozen)
        features = prefix(images, training=False)
        found = features if suffix is None else suffix(features, training=False)
        assert np.abs(floats(found) - whole).max() == 0.0
        assert prefix.trainable_variables == []
        if suffix is not None:
            assert len(suffix.trainable_variables) > 0
    keras.backend.clear_session()
