from __future__ import annotations

import keras
import numpy as np
import pytest

from automl_img.models.head import all_right, binary_cross_entropy, build_head, cross_entropy
from tests.models.networks import built, floats, noise, params_of

LABELS = np.array([0, 2, 1, 2])
LOGITS = np.random.default_rng(0).normal(0, 3, (4, 3)).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_is_keras_categorical_cross_entropy(smoothing: float, classes: int) -> None:
    labels, logits = LABELS % classes, LOGITS[:, :classes]
    known = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    expected = floats(known(np.eye(classes)[labels], logits))
    found = floats(cross_entropy(smoothing)(labels, logits))
    assert found == pytest.approx(expected, rel=1e-5)
    # Keras hands labels over as a column too.
    column = floats(cross_entropy(smoothing)(labels[:, None], logits))
    assert column == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_with_a_gamma_the_loss_is_the_focal_one_of_keras(gamma: float) -> None:
    known = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=gamma, from_logits=True, reduction=None
    )
    expected = floats(known(np.eye(3)[LABELS], LOGITS))
    found = floats(cross_entropy(0.0, gamma)(LABELS, LOGITS))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert (found < floats(cross_entropy(0.0)(LABELS, LOGITS))).all()


def test_the_gradient_of_the_focal_loss_is_finite_where_an_image_is_surely_right() -> None:
    import tensorflow as tf

    logits = tf.Variable([[100.0, 0.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(cross_entropy(0.1, 0.5)(np.array([0, 1]), logits))
    assert np.isfinite(tape.gradient(loss, logits).numpy()).all()


SETS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_of_several_classes_the_loss_sums_the_binary_cross_entropies_of_keras(
    smoothing: float,
) -> None:
    known = keras.losses.BinaryCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    expected = 3 * floats(known(SETS.astype("float32"), LOGITS))
    assert floats(binary_cross_entropy(smoothing)(SETS, LOGITS)) == pytest.approx(expected, 1e-5)


def test_of_several_classes_a_gamma_makes_it_the_focal_one_of_keras() -> None:
    known = keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True, reduction=None)
    expected = 3 * floats(known(SETS.astype("float32"), LOGITS))
    assert floats(binary_cross_entropy(0.0, 2.0)(SETS, LOGITS)) == pytest.approx(expected, 1e-3)


def test_an_image_is_right_only_in_all_of_its_classes() -> None:
    logits = np.where(SETS > 0, 2.0, -2.0).astype("float32")
    logits[2, 1] = -0.1
    assert floats(all_right(SETS, logits)).tolist() == [1, 1, 0, 1]


def test_of_several_classes_each_begins_as_seldom_as_one_of_so_many() -> None:
    params = params_of()
    several = build_head(8, 10, params, multi_label=True)
    logits = floats(several(np.zeros((1, 8), "float32"), training=False))
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(0.1)
    alone = build_head(8, 10, params)
    assert floats(alone(np.zeros((1, 8), "float32"), training=False)) == pytest.approx(0)


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.01), (0.01, 0.0), (0.002, 0.03), (0.0, 0.0)])
def test_regularisation_is_on_every_kernel_and_on_nothing_else(l1: float, l2: float) -> None:
    model = built(
        cnn__depth="2",
        head__units="8",
        regularization__l1=str(l1),
        regularization__l2=str(l2),
    )
    kernels = [floats(v) for v in model.trainable_variables if v.name.endswith("kernel")]
    assert len(kernels) >= 4
    penalty = sum(l1 * np.abs(k).sum() + l2 * (k**2).sum() for k in kernels)
    regularized = {v.name for v in model.trainable_variables if v.regularizer is not None}
    assert regularized == ({"kernel"} if l1 or l2 else set())
    assert {v.name for v in model.trainable_variables} == {"kernel", "bias", "gamma", "beta"}
    assert float(sum(model.losses)) == pytest.approx(penalty, rel=1e-4)
    # It is in the loss that is trained on.
    images, labels = noise(8, 8), np.arange(8) % 3
    plain = floats(cross_entropy(0.0)(labels, model(images, training=False))).mean()
    loss = model.evaluate(images, labels, batch_size=8, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(plain + penalty, rel=1e-4)


def test_depthwise_kernels_are_regularised_and_frozen_ones_are_not() -> None:
    whole = built(32, backbone="mobilenet_v2", weights="none", regularization__l2="0.01")
    names = {v.path.split("/")[-1] for v in whole.trainable_variables if v.regularizer is not None}
    assert names == {"kernel"}
    depthwise = [v for v in whole.trainable_variables if "depthwise" in v.path]
    assert any(v.regularizer is not None for v in depthwise)
    frozen = built(32, backbone="mobilenet_v2", regularization__l2="0.01")
    assert len(frozen.losses) == 1
    keras.backend.clear_session()


def test_logits_start_near_even_odds_in_full_precision() -> None:
    model = built(16, classes=5)
    logits = model(noise(16, 16), training=False)
    assert logits.dtype == "float32"
    odds = floats(keras.ops.softmax(logits))
    assert np.abs(odds - 0.2).max() < 0.15


@pytest.mark.parametrize("classes", [2, 7])
def test_two_classes_and_many_have_an_output_each(classes: int) -> None:
    assert built(classes=classes).output_shape == (None, classes)


def test_the_settings_of_the_head_change_the_network() -> None:
    def names(**fix: str) -> set[str]:
        model = built(**fix)
        return {layer.name for layer in (*model.layers, *model.head.layers)}

    assert {"pooling", "dropout", "logits"} <= names()
    assert "dropout" not in names(head__dropout="0")
    assert "hidden" in names(head__units="16")
    pooled = [
        type(built(head__pooling=kind).get_layer("pooling")).__name__ for kind in ("avg", "max")
    ]
    assert pooled == ["GlobalAveragePooling2D", "GlobalMaxPooling2D"]
