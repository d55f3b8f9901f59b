"""What training takes, told from the layers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from automl_img.errors import TooLarge
from automl_img.models import backbones
from automl_img.models.network import ImageFacts, TrainingModel, training_model
from automl_img.plugins import leaves
from automl_img.training.costs import Footprint, estimate
from automl_img.training.footprint import check_fits, footprint, memory_facts, takes_much
from tests.training.trials import params_of, write_pixels

PRETRAINED = [leaf.VARIANTS[0] for leaf in leaves(backbones) if leaf.VARIANTS[0] != "cnn"]


def model_of(size: int = 16, **fix: str) -> TrainingModel:
    return training_model(params_of(**fix), ImageFacts(size, 3, 3, flips=True), None, None)


def numbers(variables: list[object]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)  # type: ignore[attr-defined]


def test_weights_gradients_and_slots_count_once_and_outputs_for_each_image() -> None:
    model = model_of()
    found = footprint(model)
    learnt, every = numbers(model.trainable_variables), numbers(model.weights)
    # Adam has two slots for each weight that learns, and some counters.
    slots = found.fixed_bytes / 4 - every - learnt
    assert 2 * learnt <= slots <= 2 * learnt + 10
    # A convolution of 8 filters, its normalisation and its activation, at the least.
    assert found.image_bytes >= 3 * 16 * 16 * 8 * 4
    assert found.of(32) - found.of(16) == 16 * found.image_bytes


def test_images_of_twice_the_side_take_four_times_as_much() -> None:
    small, large = footprint(model_of(16)), footprint(model_of(32))
    assert large.image_bytes == pytest.approx(4 * small.image_bytes, rel=0.05)
    assert large.fixed_bytes == pytest.approx(small.fixed_bytes, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRETRAINED)
def test_each_family_has_a_footprint(name: str) -> None:
    """ConvNeXt with its Sequential parts too."""
    options = {"backbone": name, "weights": "none"}
    whole = footprint(model_of(32, **options))
    assert 0 < whole.fixed_bytes < 10**9
    assert 0 < whole.image_bytes < 10**9
    assert_told_before(whole, 32, **options)


@pytest.mark.parametrize(
    "fix",
    [
        {},
        {"cnn__depth": "4", "cnn__kernel_size": "5", "cnn__convolutions": "1"},
        {"cnn__batch_normalization": "false", "optimizer__name": "sgd"},
    ],
)
@pytest.mark.parametrize("side", [8, 48, 200])
def test_of_a_network_from_scratch_its_size_tells_as_much(fix: dict[str, str], side: int) -> None:
    wide = {"cnn__depth": "3", "cnn__filters": "48", "cnn__convolutions": "3"}
    assert_told_before(footprint(model_of(side, **{**wide, **fix})), side, **{**wide, **fix})


def assert_told_before(whole: Footprint, side: int, **fix: str) -> None:
    """What was told before a network was built is at most what it is, and not much less. The
    borders that Inception cuts off are a larger part of small images."""
    most = 1.3 if "inception" in fix.get("backbone", "") else 1.01
    told = estimate(params_of(**fix), side, 3, "float32")
    assert 0.9 * whole.fixed_bytes <= told.fixed_bytes <= 1.01 * whole.fixed_bytes
    assert 0.5 * whole.image_bytes <= told.image_bytes <= most * whole.image_bytes


def test_a_network_that_does_not_fit_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    spec, model = write_pixels(tmp_path), model_of()
    needs = footprint(model)
    whole = needs.of(int(spec.params["batch_size"]))
    check_fits(model, replace(spec, memory_bytes=whole))
    with pytest.raises(TooLarge) as raised:
        check_fits(model, replace(spec, memory_bytes=whole - 1))
    told = raised.value.memory
    assert Footprint(int(told["fixed_bytes"]), int(told["image_bytes"])) == needs


def test_what_takes_a_fifth_of_the_memory_is_told_before_it_trains(tmp_path: Path) -> None:
    spec, model = write_pixels(tmp_path), model_of()
    whole = footprint(model).of(int(spec.params["batch_size"]))
    assert takes_much(replace(spec, memory_bytes=4 * whole), model)
    assert not takes_much(replace(spec, memory_bytes=6 * whole), model)
    facts = memory_facts(spec, model, trained=False)
    assert "grown_bytes" not in facts
    assert facts["image_bytes"] == footprint(model).image_bytes
