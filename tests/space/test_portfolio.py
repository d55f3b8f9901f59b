from __future__ import annotations

from pathlib import Path

import pytest

from automl_img.errors import SpaceError
from automl_img.models import backbones
from automl_img.models.hyperparameters import declared
from automl_img.models.weights import find_variant
from automl_img.plugins import leaf_names, leaves
from automl_img.space.portfolio import Conditions, DataFacts, Entry, portfolio_file, read_portfolio

FACTS = DataFacts(images=4000, classes=10, image_size=32, channels=3)


def read(folder: Path, words: str) -> list[Entry]:
    path = folder / "portfolio.yaml"
    path.write_text(words, encoding="utf-8")
    return read_portfolio(path, declared(), leaf_names(backbones))


def test_the_portfolio_that_ships_is_valid_and_knows_every_family() -> None:
    entries = read_portfolio(portfolio_file(), declared(), leaf_names(backbones))
    named = {family for entry in entries for family in entry.families}
    assert named == set(leaf_names(backbones))


@pytest.mark.parametrize("images", [2, 999, 1000, 19_999, 20_000, 10**7])
@pytest.mark.parametrize("image_size", [8, 64, 65, 1024])
@pytest.mark.parametrize("classes", [2, 81, 190])
def test_each_family_has_settings_for_any_data(images: int, image_size: int, classes: int) -> None:
    facts = DataFacts(images, classes, image_size, 3)
    entries = read_portfolio(portfolio_file(), declared(), leaf_names(backbones))
    fits = [entry for entry in entries if entry.when.hold(facts)]
    for family in leaf_names(backbones):
        kinds = [entry.kind for entry in fits if family in entry.families]
        if family == "cnn":
            assert kinds
            assert set(kinds) == {"from scratch"}
        else:
            assert kinds[0] == "frozen"
            assert set(kinds[1:]) == {"fine-tuned"}


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("{}", True),
        ("{images: 1000..4000}", True),
        ("{images: 4000..9000}", True),
        ("{images: 4001..}", False),
        ("{images: ..3999}", False),
        ("{images: 4000}", True),
        ("{images: 400}", False),
        ("{images_per_class: 400..400}", True),
        ("{images_per_class: 401..}", False),
        ("{classes: ..9}", False),
        ("{image_size: 32.., channels: 3}", True),
        ("{image_size: 32.., channels: 1}", False),
    ],
)
def test_an_entry_fits_where_all_of_its_bounds_hold_both_ends_included(
    tmp_path: Path, when: str, holds: bool
) -> None:
    [entry] = read(tmp_path, f"- {{families: [cnn], when: {when}, set: {{}}}}")
    assert entry.when.hold(FACTS) is holds


@pytest.mark.parametrize("module", leaves(backbones), ids=leaf_names(backbones))
def test_what_trains_of_a_backbone_ends_at_its_stages(module: object) -> None:
    for name in module.VARIANTS:  # type: ignore[attr-defined]
        variant = find_variant(name)
        if variant is None:
            continue
        frozen = {
            train: Entry(families=["vgg"], train=train, set={}).params(name, variant.cuts)
            for train in ("head", "last stage", "last two stages", "all")
        }
        key = f"{name}.frozen_layers"
        assert frozen["head"][key] == variant.cuts[-1]
        assert frozen["last stage"][key] == variant.cuts[-2]
        assert frozen["last two stages"][key] == variant.cuts[-3]
        assert frozen["all"][key] == 0


def test_a_network_from_scratch_is_told_of_no_frozen_layers() -> None:
    entry = Entry(families=["cnn"], set={"cnn.depth": 4})
    assert entry.params("cnn", ()) == {"backbone": "cnn", "cnn.depth": 4}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{families: [cnm], set: {}}", r"no family 'cnm'; did you mean 'cnn'\?"),
        ("{families: [], set: {}}", "families: list should have at least 1 item"),
        ("{families: [cnn]}", "set: field required"),
        ("{families: [cnn], sett: {}, set: {}}", r"sett: .* did you mean 'set'\?"),
        ("{families: [cnn], set: {cnn.dept: 3}}", r"no hyperparameter 'cnn\.dept'; did you mean"),
        ("{families: [cnn], set: {cnn.depth: 9}}", r"cnn\.depth must be in 1\.\.5, but got 9"),
        ("{families: [cnn], set: {cnn.depth: 3.0}}", r"cnn\.depth must be in 1\.\.5, but got 3\.0"),
        # YAML reads a number with an exponent and no point as text.
        ("{families: [cnn], set: {optimizer.learning_rate: 1e-3}}", "but got '1e-3'"),
        ("{families: [cnn], set: {cnn.depth: [3]}}", r"set\.cnn\.depth\."),
        ("{families: [vgg], train: body, set: {}}", "train: input should be 'head'"),
        ("{families: [cnn], when: {pixels: 3}, set: {}}", r"when\.pixels"),
        ("{families: [cnn], when: {images: 9..3}, set: {}}", "must be low..high with low <= high"),
        ("{families: [cnn], when: {images: few}, set: {}}", "in whole numbers, but got 'few'"),
        ("{families: [cnn], when: {images: ..}, set: {}}", "in whole numbers, but got '..'"),
        ("{families: [cnn], when: {images: 1.5..}, set: {}}", "in whole numbers"),
        ("5", "must be a mapping with the keys families, train, when, set"),
    ],
)
def test_a_wrong_entry_is_refused_in_one_sentence(tmp_path: Path, entry: str, said: str) -> None:
    with pytest.raises(SpaceError, match=said) as caught:
        read(tmp_path, f"- {{families: [cnn], set: {{}}}}\n- {entry}")
    assert "entry 2 of the portfolio" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", ["a: b", "", "- [", "x: \tb", "\x00", "- !!python/name:os.sep"])
def test_what_is_no_list_of_entries_is_refused(tmp_path: Path, words: str) -> None:
    with pytest.raises(SpaceError, match=r"the portfolio .* must be") as caught:
        read(tmp_path, words)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"the portfolio .*gone\.yaml must be YAML"):
        read_portfolio(tmp_path / "gone.yaml", declared(), ["cnn"])


@pytest.mark.parametrize(
    ("classes", "train"), [(10, "last two stages"), (190, "last stage"), (500, "last stage")]
)
def test_with_few_images_of_each_class_less_of_a_network_learns(classes: int, train: str) -> None:
    facts = DataFacts(2000, classes, 96, 3)
    entries = read_portfolio(portfolio_file(), declared(), leaf_names(backbones))
    [tuned] = [
        entry
        for entry in entries
        if entry.when.hold(facts) and "resnet" in entry.families and entry.kind == "fine-tuned"
    ]
    assert tuned.train == train


def test_no_condition_holds_for_any_data() -> None:
    assert Conditions().hold(DataFacts(1, 2, 8, 1))
