from __future__ import annotations

import itertools

import pytest

from automl_img.models import backbones
from automl_img.models.hyperparameters import declared
from automl_img.plugins import leaves
from automl_img.search.rungs import ladder_of
from automl_img.search.start import start_set
from automl_img.shipped import shipped
from automl_img.space.dimensions import SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.space.presets import build_space, read_preset
from tests.search.spaces import space

PHOTOS = DataFacts(images=4000, classes=10, image_size=96, channels=3)
FEW = DataFacts(images=300, classes=10, image_size=96, channels=3)
MANY = DataFacts(images=100_000, classes=10, image_size=96, channels=3)
SMALL = DataFacts(images=4000, classes=10, image_size=32, channels=3)
TINY_GREY = DataFacts(images=1000, classes=10, image_size=8, channels=1)
ALL_FACTS = (PHOTOS, FEW, MANY, SMALL, TINY_GREY)


def preset(name: str, fix: dict[str, str] | None = None) -> SearchSpace:
    return build_space(
        name, read_preset(shipped("search_spaces") / f"{name}.yaml"), declared(), {}, fix or {}
    )


def family_of(backbone: object) -> str:
    [family] = [leaf for leaf in leaves(backbones) if backbone in leaf.VARIANTS]
    return family.__name__


def kinds(points: list[dict[str, bool | int | float | str]]) -> list[tuple[object, str]]:
    return [(point["backbone"], ladder_of(point)) for point in points]


@pytest.mark.parametrize("name", ["cnn", "cnn_small", "everything", "pretrained"])
@pytest.mark.parametrize("facts", [None, *ALL_FACTS], ids=str)
def test_every_point_is_valid_and_different_and_every_family_has_one(
    name: str, facts: DataFacts | None
) -> None:
    wanted = preset(name)
    points = start_set(wanted, facts)
    for point in points:
        wanted.validate(point)
    assert all(one != other for one, other in itertools.combinations(points, 2))
    offered = wanted["backbone"].options  # type: ignore[union-attr]
    assert {family_of(point["backbone"]) for point in points} == set(map(family_of, offered))


def test_frozen_networks_come_first_then_those_from_scratch_then_the_fine_tuned() -> None:
    points = start_set(preset("everything"), PHOTOS)
    order = [kind for kind, _ in itertools.groupby(ladder_of(point) for point in points)]
    assert order == ["frozen", "from scratch", "fine-tuned"]
    frozen = [point["backbone"] for point in points if ladder_of(point) == "frozen"]
    assert frozen[:3] == ["mobilenet_v3_small", "efficientnet_v2_b0", "resnet50"]
    tuned = [point["backbone"] for point in points if ladder_of(point) == "fine-tuned"]
    assert list(dict.fromkeys(tuned)) == frozen


def test_scores_order_the_pretrained_of_each_kind_and_the_cnn_keeps_its_place() -> None:
    wanted = preset("everything")
    plain = start_set(wanted, PHOTOS)
    scores = {str(name): 0.1 for name, kind in kinds(plain) if kind == "frozen"}
    scores |= {"vgg19": 0.9, "resnet50": 0.8}
    ordered = start_set(wanted, PHOTOS, scores)
    assert sorted(kinds(ordered)) == sorted(kinds(plain))
    assert [kind for _, kind in kinds(ordered)] == [kind for _, kind in kinds(plain)]
    for kind in ("frozen", "fine-tuned"):
        names = list(dict.fromkeys(name for name, each in kinds(ordered) if each == kind))
        assert names[:2] == ["vgg19", "resnet50"]
        # Equal scores stay in the order of cost.
        assert names[2:4] == ["mobilenet_v3_small", "efficientnet_v2_b0"]


def test_a_backbone_without_a_score_keeps_its_place() -> None:
    wanted = preset("pretrained")
    scores = {"vgg19": 0.9, "mobilenet_v2": 0.2, "xception": 0.5}
    names = [name for name, kind in kinds(start_set(wanted, PHOTOS, scores)) if kind == "frozen"]
    assert names == ["vgg19", "efficientnet_v2_b0", "resnet50", "xception", "mobilenet_v2"]


def test_of_a_family_in_two_sizes_the_better_score_is_taken_and_the_smaller_without_scores() -> (
    None
):
    wanted = preset("everything")
    names = {name for name, _ in kinds(start_set(wanted, PHOTOS))}
    assert {"resnet50", "mobilenet_v3_small"} < names
    assert "resnet101v2" not in names
    scored = start_set(wanted, PHOTOS, {"resnet50": 0.5, "resnet101v2": 0.6, "vgg19": 0.1})
    names = {name for name, _ in kinds(scored)}
    assert "resnet101v2" in names
    assert "resnet50" not in names


def test_the_fewer_images_the_less_of_a_backbone_learns() -> None:
    wanted = preset("pretrained", {"backbone": "resnet50"})
    frozen = {}
    for facts in (FEW, PHOTOS, MANY):
        [_, tuned] = start_set(wanted, facts)
        frozen[facts.images] = tuned["resnet50.frozen_layers"]
    assert frozen == {300: 143, 4000: 81, 100_000: 0}


def test_small_images_are_fine_tuned_as_a_whole() -> None:
    wanted = preset("pretrained", {"backbone": "resnet50"})
    [_, tuned] = start_set(wanted, SMALL)
    assert tuned["resnet50.frozen_layers"] == 0


def test_an_entry_that_the_space_makes_another_kind_of_is_left_out() -> None:
    tuned_only = preset("pretrained", {"backbone": "resnet50", "resnet50.frozen_layers": "0"})
    assert [kind for _, kind in kinds(start_set(tuned_only, PHOTOS))] == ["fine-tuned"]
    frozen_only = preset("pretrained", {"backbone": "resnet50", "resnet50.frozen_layers": "175"})
    assert [kind for _, kind in kinds(start_set(frozen_only, PHOTOS))] == ["frozen"]
    scratch = preset("pretrained", {"backbone": "resnet50", "weights": "none"})
    assert [kind for _, kind in kinds(start_set(scratch, PHOTOS))] == ["from scratch"]


def test_points_that_a_space_makes_the_same_are_tried_once() -> None:
    fixed = {"cnn.depth": "2", "cnn.filters": "16", "cnn.convolutions": "1", "batch_size": "32"}
    narrow = space({"head.dropout": "0..0.5"}, {**fixed, "augment.strength": "0"})
    points = start_set(narrow, SMALL)
    assert all(one != other for one, other in itertools.combinations(points, 2))


def test_without_facts_each_family_starts_with_its_own_settings() -> None:
    points = start_set(preset("everything"))
    assert len(points) == 8
    [cnn] = [point for point in points if point["backbone"] == "cnn"]
    assert (cnn["cnn.depth"], cnn["cnn.filters"], cnn["head.pooling"]) == (3, 32, "max")
    [resnet] = [point for point in points if point["backbone"] == "resnet50"]
    assert (resnet["resnet50.frozen_layers"], resnet["batch_size"]) == (175, 32)
