"""One contract for every file in ``automl_img/models/backbones``."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from automl_img.models import backbones
from automl_img.models.hypermodel import ImageClassifier, bind
from automl_img.models.hyperparameters import declared
from automl_img.models.network import ImageFacts
from automl_img.models.weights import find_variant
from automl_img.plugins import leaf_names, leaves
from automl_img.search.start import start_set
from automl_img.space.dimensions import Choice, Dimension, SearchSpace
from automl_img.space.presets import build_space, find_preset, preset_names, read_preset
from tests.models.networks import built, floats, noise, params_of

FAMILIES = leaves(backbones)
NAMES = leaf_names(backbones)


def space(name: str) -> SearchSpace:
    return build_space(name, read_preset(find_preset(name)), declared(), {}, {})


def smallest(family: ModuleType) -> int:
    shared = getattr(family, "FAMILY", None)
    return shared.variants[family.VARIANTS[0]].minimum if shared else 8


def test_the_families_are_those_of_the_folder_and_their_names_differ() -> None:
    assert {"cnn", "vgg", "resnet", "xception", "inception", "mobilenet"} <= set(NAMES)
    assert {"efficientnet", "convnext"} <= set(NAMES)
    variants = [name for family in FAMILIES for name in family.VARIANTS]
    assert len(variants) == len(set(variants))
    backbone = declared()[0]
    assert isinstance(backbone, Choice)
    assert list(backbone.options) == variants


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
class TestEveryFamily:
    def test_has_the_attributes_of_a_plugin(self, family: ModuleType) -> None:
        assert family.__doc__
        assert family.VARIANTS
        assert all(isinstance(name, str) for name in family.VARIANTS)
        assert isinstance(family.BFLOAT16_ON_CPU, bool)
        assert all(isinstance(each, Dimension) for each in family.HYPERPARAMETERS)
        for dimension in family.HYPERPARAMETERS:
            assert dimension.contains(dimension.default)
            # It counts for this family alone.
            [condition] = [each for each in dimension.when if each.parent == "backbone"]
            assert set(condition.values) <= set(family.VARIANTS)
            assert not condition.negate

    def test_starts_inside_the_space_of_everything(self, family: ModuleType) -> None:
        everything = space("everything")
        offered = [name for name in family.VARIANTS if everything["backbone"].contains(name)]
        assert offered
        wanted = {**family.START, "backbone": offered[0]}
        point = everything.nearest(wanted)
        everything.validate(point)
        assert {name: point[name] for name in wanted} == wanted

    def test_builds_its_smallest_variant_from_scratch(self, family: ModuleType) -> None:
        check_smallest(family, smallest(family), channels=3)

    def test_tells_the_size_of_each_variant_and_less_where_more_is_frozen(
        self, family: ModuleType
    ) -> None:
        for name in family.VARIANTS:
            params = params_of(backbone=name, **({} if name == "cnn" else {"weights": "none"}))
            whole = family.size(name, 224, 3, params)
            assert whole.parameters == whole.learnt > 0
            variant = find_variant(name)
            sizes = [
                family.size(name, 224, 3, {**params, f"{name}.frozen_layers": cut})
                for cut in (0, *(variant.cuts if variant else ()))
            ]
            assert sizes == sorted(sizes, reverse=True)
            assert {size.parameters for size in sizes} == {whole.parameters}
            assert not variant or sizes[-1][1:] == (0, 0)

    @pytest.mark.slow
    def test_takes_grey_images_smaller_than_its_network_does(self, family: ModuleType) -> None:
        model = check_smallest(family, 8, channels=1)
        if family.VARIANTS[0] != "cnn":
            backbone = model.get_layer("backbone")
            assert backbone.get_layer("enlarged").output.shape[1:] == (*[smallest(family)] * 2, 3)


def check_smallest(family: ModuleType, size: int, channels: int) -> Any:
    """Build the first variant from random weights, and look at what it gives."""
    keras.backend.clear_session()
    fix = {} if family.VARIANTS[0] == "cnn" else {"weights": "none"}
    model = built(size, channels, classes=4, backbone=family.VARIANTS[0], **fix)
    assert model.input_shape == (None, size, size, channels)
    assert model.input.dtype == "uint8"
    assert model.output_shape == (None, 4)
    images = noise(2, size, channels)
    images[0], images[1, :, : size // 2] = 0, 255
    logits = floats(model(images, training=False))
    assert logits.shape == (2, 4)
    assert np.isfinite(logits).all()
    assert not np.array_equal(logits[0], logits[1])
    # All of it trains where nothing was loaded.
    assert len(model.trainable_variables) > 2
    return model


@pytest.mark.parametrize("name", preset_names())
def test_the_first_trials_are_one_of_each_family_the_cheapest_first(name: str) -> None:
    points = start_set(space(name))
    order = [str(point["backbone"]) for point in points]
    expected = {
        "cnn": ["cnn"],
        "cnn_small": ["cnn"],
        "pretrained": ["mobilenet_v2", "efficientnet_v2_b0", "resnet50", "xception", "vgg19"],
        "everything": [
            *("mobilenet_v3_small", "efficientnet_v2_b0", "resnet50", "inception_v3"),
            *("xception", "vgg19", "convnext_tiny", "cnn"),
        ],
    }
    assert order == expected[name]
    for point in points:
        space(name).validate(point)


@pytest.mark.parametrize("fix", ["cnn__batch_normalization", "cnn__depth", "cnn__convolutions"])
def test_the_settings_of_the_cnn_change_the_network(fix: str) -> None:
    values = {"cnn__batch_normalization": "false", "cnn__depth": "2", "cnn__convolutions": "2"}
    other = built(16, **{fix: values[fix]})
    assert other.count_params() != built(16).count_params()


@pytest.mark.parametrize(
    "backbone", ["cnn", pytest.param("mobilenet_v3_small", marks=pytest.mark.slow)]
)
def test_initial_weights_are_those_of_the_seed_alone(backbone: str) -> None:
    params = params_of(backbone=backbone, **({} if backbone == "cnn" else {"weights": "none"}))

    def weights(seed: int) -> list[np.ndarray]:
        facts = ImageFacts(32, 3, 3, flips=True)
        model = ImageClassifier(facts, seed=seed).build(bind(params))
        return [np.array(variable) for variable in model.trainable_variables]

    keras.utils.set_random_seed(98)
    once = weights(0)
    keras.utils.set_random_seed(99)
    built(cnn__depth="2")
    assert all(map(np.array_equal, once, weights(0)))
    assert not all(map(np.array_equal, once, weights(1)))
    keras.backend.clear_session()
