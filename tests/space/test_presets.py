from __future__ import annotations

import re
from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_img.errors import SpaceError
from automl_img.models.hyperparameters import declared
from automl_img.search.arm import suggest
from automl_img.space.dimensions import Choice, Float, Int, SearchSpace
from automl_img.space.presets import (
    Preset,
    build_space,
    commented_preset,
    describe_space,
    find_preset,
    preset_names,
    read_preset,
    space_yaml,
)
from automl_img.trials import Params
from tests.space import dims
from tests.space.dims import built


def shipped_space(name: str, **typed: dict[str, str]) -> SearchSpace:
    preset = read_preset(find_preset(name))
    return build_space(name, preset, declared(), typed.get("search", {}), typed.get("fix", {}))


def written(folder: Path, words: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(words, encoding="utf-8")
    return path


def read(folder: Path, words: str) -> SearchSpace:
    return build_space("test", read_preset(written(folder, words)), dims.ALL, {}, {})


def test_the_presets_that_ship_are_these() -> None:
    assert preset_names() == ["cnn", "cnn_small", "everything", "pretrained"]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_opens_with_its_command(name: str) -> None:
    space = shipped_space(name)
    preset = read_preset(find_preset(name))
    assert preset.description
    assert f"--space {name} " in find_preset(name).read_text(encoding="utf-8").splitlines()[0]
    # What is written in the preset is searched: nothing of it is dropped as never counting.
    assert space.searched == preset.search.keys()
    space.validate(space.nearest({}))


@pytest.mark.parametrize("name", preset_names())
def test_a_space_written_down_is_the_same_space_again(name: str, tmp_path: Path) -> None:
    space = shipped_space(
        name,
        search={"augment.cutout": "0.1..0.123456789", "optimizer.warmup_epochs": "0..4:step=2"},
        fix={"regularization.l1": "1.23456789e-5", "augment.horizontal_flip": "true"},
    )
    again = build_space(name, read_preset(written(tmp_path, space_yaml(space))), declared(), {}, {})
    assert again == space


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_space_written_down_is_the_same_space_again(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    search = {}
    for dimension in dims.ALL:
        if not data.draw(st.booleans()):
            continue
        if isinstance(dimension, Choice):
            some = st.lists(st.sampled_from(dimension.options), min_size=1, unique=True)
            search[dimension.name] = ",".join(str(each) for each in data.draw(some))
        else:
            ends = sorted(
                dimension.nearest(data.draw(st.floats(dimension.low, dimension.high)))
                for _ in range(2)
            )
            marks = ["", ":step=1", ":step=3", ":log"] if isinstance(dimension, Int) else [""]
            search[dimension.name] = f"{ends[0]!r}..{ends[1]!r}{data.draw(st.sampled_from(marks))}"
    space = built(preset=Preset(search=search))
    folder = tmp_path_factory.mktemp("written")
    assert read(folder, space_yaml(space)) == space


@pytest.mark.parametrize("typed", ["16..64", "16..64:step=1", "16..64:step=16", "16", "16,64"])
def test_a_range_without_its_logarithm_stays_without_it(typed: str, tmp_path: Path) -> None:
    space = built({"filters": typed})
    assert read(tmp_path, space_yaml(space)) == space


def test_yaml_is_read_as_people_write_it(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        """
        description: mine
        search:
          rate: 1e-4..1e-1
          dropout: [0, 0.25, 1e-1]
          filters: [16, 32]
          normalize: [yes, no]
          blur: 0..0.5
        fix:
          depth: 4
          optimizer: sgd
          momentum: 5e-1
        """,
    )
    assert space["rate"] == Float("rate", 1e-4, 1e-1, 3e-3, log=True)
    assert space["dropout"] == Choice("dropout", (0.0, 0.25, 0.1), 0.1)
    assert space["filters"] == Choice("filters", (16, 32), 32)
    assert space["normalize"] == Choice("normalize", (True, False), True)
    assert space["depth"] == Choice("depth", (4,), 4)
    # YAML takes 5e-1 for text.
    assert space.nearest({})["momentum"] == 0.5
    assert space.searched == {"rate", "dropout", "filters", "normalize", "blur"}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (
            "fix: {weights: no}",
            "weights must be one of imagenet, none or an existing file.*'false'",
        ),
        ("fix: {weights: null}", "weights must be a range, a value or a list of values"),
        ("fix: {depth: true}", "depth must be a number, but got 'true'"),
        ("fix: {depth: .nan}", "depth must be a whole number"),
        ("fix: {depth: 2024-01-01}", "depth must be a range, a value"),
        ("search: {depth: {low: 1}}", "depth must be a range, a value"),
        ("search: {depth: [[1, 2], 3]}", "nothing deeper"),
        ("search: {depth: []}", "depth needs a range or values"),
        ("search: {dpeth: 1..2}", "no hyperparameter 'dpeth'; did you mean 'depth'"),
        ("serach: {depth: 1..2}", "'serach'.*did you mean 'search'"),
        ("search: [depth]", "'search': input should be a valid dictionary"),
        ("search: {1: 2}", "search"),
        ("description: 3", "'description'"),
        ("- search", "must be a mapping with the keys description, search, fix"),
        ("just words", "must be a mapping"),
        ("7", "must be a mapping"),
        ("no", "must be a mapping"),
        ("1: 2", "must be a mapping"),
        ("search: {depth: 1..2", "must be valid YAML"),
        ("a: b: c", "must be valid YAML"),
        ("fix: {depth: &a [*a]}", "nothing deeper"),
        ("fix: !!python/object/apply:os.system ['touch hacked']", "must be valid YAML"),
        ("fix: {depth: !!python/name:os.system}", "must be valid YAML"),
        ("fix: {depth: 2024-13-45}", "must be valid YAML"),
        ("fix: {depth: !!int 'x'}", "must be valid YAML"),
        ("\0", "must be valid YAML"),
        ("search: " + "[" * 50_000, "must be valid YAML"),
        ("fix: {depth: " + "9" * 5000 + "}", "must be valid YAML"),
        ("description: " + "x" * 200_000, "at most 100,000 characters"),
    ],
)
def test_a_hostile_or_wrong_file_is_one_sentence(
    words: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError, match=rule) as caught:
        read(tmp_path, words)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    assert not (tmp_path / "hacked").exists()


def test_references_that_multiply_cost_nothing(tmp_path: Path) -> None:
    # 10 ** 29 values, if anyone unfolded them.
    lists = ["&a0 [1, 2]"]
    lists += [f"&a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    words = "search:\n  depth:\n" + "".join(f"    - {line}\n" for line in lists)
    with pytest.raises(SpaceError, match="nothing deeper"):
        read(tmp_path, words)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"description: caf\xe9")
    for path in (tmp_path, tmp_path / "missing.yaml", tmp_path / "latin.yaml"):
        with pytest.raises(SpaceError, match=re.escape(f"the space {path} cannot be read")):
            read_preset(path)


def test_an_empty_file_is_the_space_of_all_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "# nothing yet\n").nearest({}) == built().nearest({})


def test_a_space_is_found_by_name_or_as_a_file(tmp_path: Path) -> None:
    mine = written(tmp_path, "description: mine")
    assert find_preset(str(mine)) == mine
    assert find_preset("cnn").name == "cnn.yaml"
    for wrong, hint in (("cn_small", "did you mean 'cnn_small'"), ("x" * 5000, "or a file")):
        with pytest.raises(SpaceError, match=hint):
            find_preset(wrong)


def test_the_later_word_on_a_name_counts() -> None:
    preset = Preset(search={"depth": "2..3", "rate": "1e-4..1e-3"}, fix={"filters": 16})
    space = built({"filters": "8..16"}, {"depth": "5"}, preset)
    assert space.searched == {"rate", "filters"}
    assert space.nearest({})["depth"] == 5


def test_a_name_that_is_searched_and_fixed_is_refused() -> None:
    with pytest.raises(SpaceError, match="depth is both in --search and in --fix"):
        built({"depth": "1..3"}, {"depth": "2"})


@pytest.mark.parametrize(
    ("search", "fix", "rule"),
    [
        ({}, {"momentum": "0.5"}, "momentum counts only where optimizer is sgd, which this space"),
        ({"decay": "0..0.1"}, {"optimizer": "sgd"}, "decay counts only where optimizer is not sgd"),
        ({}, {"nesterov": "true"}, "nesterov counts only where momentum is not 0"),
        ({}, {"optimizer": "sgd", "momentum": "0", "nesterov": "true"}, "momentum is not 0"),
        ({"dept": "1..2"}, {}, "did you mean 'depth'"),
        ({}, {"fitlers": "8"}, "did you mean 'filters'"),
    ],
)
def test_a_typed_name_that_can_never_count_or_is_unknown_is_refused(
    search: dict[str, str], fix: dict[str, str], rule: str
) -> None:
    with pytest.raises(SpaceError, match=rule):
        built(search, fix)


def test_a_typed_name_may_count_for_some_of_the_space() -> None:
    space = built({"optimizer": "adam,sgd", "momentum": "0..0.9"}, {"nesterov": "false"})
    assert space.searched == {"optimizer", "momentum"}
    # In a preset such a name may stand idle, so that one preset serves many --fix.
    assert "momentum" not in built(search={}, fix={"optimizer": "adam"}).searched


def test_the_commented_preset_is_valid_and_so_is_each_of_its_comments(tmp_path: Path) -> None:
    words = commented_preset(declared(), "space.yaml")
    space = build_space("new", read_preset(written(tmp_path, words)), declared(), {}, {})
    assert space.searched == {"optimizer.learning_rate", "cnn.filters"}
    offered = re.findall(r"^  # ([\w.]+): (\[.*\]|\S+)  # default", words, flags=re.MULTILINE)
    names = {dimension.name for dimension in declared()}
    assert {name for name, _ in offered} == names - {
        "optimizer.learning_rate",
        "cnn.filters",
        "backbone",
    }
    for name, content in offered:
        preset = Preset(search={name: yaml.safe_load(content)})
        ranges = build_space("new", preset, declared(), {}, {})
        if name in ranges.searched:
            known = next(dimension for dimension in declared() if dimension.name == name)
            assert ranges[name].grid(9) == known.grid(9)


def test_the_searched_dimensions_are_told_for_the_report() -> None:
    told = describe_space(
        built({"rate": "1e-4..1e-1", "optimizer": "adam,sgd", "momentum": "0..0.9"})
    )
    assert [(each["name"], each["kind"], each["log"]) for each in told] == [
        ("rate", "float", True),
        ("optimizer", "choice", False),
        ("momentum", "float", False),
    ]
    assert told[0]["low"] == 1e-4
    assert told[1]["options"] == ["adam", "sgd"]
    assert told[2]["when"] == {"optimizer": ["sgd"]}


@pytest.mark.parametrize("name", preset_names())
def test_optuna_stays_inside_every_preset(name: str) -> None:
    space = shipped_space(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points: list[Params] = [suggest(space, study.ask()) for _ in range(60)]
    for point in points:
        space.validate(point)
    assert len({str(point) for point in points}) > 50


@settings(max_examples=50, deadline=None)
@given(dimension=dims.floats() | dims.ints() | dims.choices, seed=st.integers(0, 100))
def test_optuna_stays_inside_any_dimension(dimension: Float | Int | Choice, seed: int) -> None:
    space = SearchSpace("test", (dimension,), frozenset({"x"}))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(3):
        assert dimension.contains(suggest(space, study.ask())["x"])
