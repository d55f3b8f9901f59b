from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from automl_img.errors import SpaceError
from automl_img.space.assignments import fixed, narrowed
from automl_img.space.dimensions import Choice, Dimension, Float, Int
from automl_img.trials import Value
from tests.space import dims


def shape(dimension: Dimension) -> tuple[object, ...]:
    """What a typed range says, and nothing of the declaration."""
    match dimension:
        case Float():
            return (dimension.low, dimension.high, dimension.log)
        case Int():
            return (dimension.low, dimension.high, dimension.log, dimension.step)
        case Choice():
            return dimension.options


@pytest.mark.parametrize(
    ("dimension", "typed", "expected"),
    [
        (dims.RATE, "1e-4..1e-1:log", (1e-4, 1e-1, True)),
        (dims.RATE, "1e-4..1e-1", (1e-4, 1e-1, True)),
        (dims.RATE, " .001 .. 1 ", (0.001, 1.0, True)),
        (dims.RATE, "1e-4...1", (1e-4, 0.1, True)),
        (dims.RATE, "1E-6..1", (1e-6, 1.0, True)),
        (dims.DROPOUT, "0..0.5", (0.0, 0.5, False)),
        (dims.DROPOUT, "0.1..0.5:log", (0.1, 0.5, True)),
        (dims.FILTERS, "16..64", (16, 64, True, 1)),
        (dims.FILTERS, "16..64:step=16", (16, 64, False, 16)),
        (dims.FILTERS, "16..64:step=1", (16, 64, False, 1)),
        (dims.DEPTH, "1..5", (1, 5, False, 1)),
        (dims.DEPTH, "1e0..5.0", (1, 5, False, 1)),
        (dims.DEPTH, "2, 4,", (2, 4)),
        (dims.DEPTH, "4,2,4", (4, 2)),
        (dims.DEPTH, "3..3", (3,)),
        (dims.FILTERS, "16..20:step=16", (16,)),
        (dims.RATE, "1e-4,1e-3", (1e-4, 1e-3)),
        (dims.NORMALIZE, "TRUE,false", (True, False)),
        (dims.OPTIMIZER, "sgd", ("sgd",)),
    ],
)
def test_ranges_and_lists_are_read_as_typed(
    dimension: Dimension, typed: str, expected: tuple[object, ...]
) -> None:
    found = narrowed(dimension, typed)
    assert shape(found) == expected
    assert [type(value) for value in shape(found)] == [type(value) for value in expected]
    assert (found.name, found.when) == (dimension.name, dimension.when)


@pytest.mark.parametrize(
    ("dimension", "typed", "rule"),
    [
        (dims.RATE, "1e-7..1", "must be a number in 1e-06..1:log, but got '1e-7'"),
        (dims.RATE, "0.1..0.01", "low <= high"),
        (dims.RATE, "1e-4..1:lgo", "cannot read '1e-4..1:lgo'; write LOW..HIGH"),
        (dims.RATE, "1e-4..1:step=2", "cannot read"),
        (dims.RATE, "a..b", "must be a number, but got 'a'"),
        (dims.RATE, "..", "must be a number, but got ''"),
        (dims.RATE, "1e-4....1", "must be a number, but got '..1'"),
        (dims.RATE, "nan..1", "but got 'nan'"),
        (dims.RATE, "", "needs a range or values"),
        (dims.RATE, ",", "needs a range or values"),
        (dims.DROPOUT, "0..0.5:log", "must start above 0"),
        (dims.DEPTH, "1..9", "must be a whole number in 1..5, but got '9'"),
        (dims.DEPTH, "1..2.5", "must be a whole number"),
        (dims.DEPTH, "true", "must be a number, but got 'true'"),
        (dims.FILTERS, "16..64:step=0", "cannot read"),
        (dims.FILTERS, "16..64:log:step=2", "cannot read"),
        (dims.OPTIMIZER, "adam..sgd", "must be one of adam, sgd, but got 'adam..sgd'"),
        (dims.OPTIMIZER, "adam,sdg", "but got 'sdg'; did you mean 'sgd'"),
        (dims.OPTIMIZER, "Adam", "did you mean 'adam'"),
        (dims.NORMALIZE, "no", "must be one of true, false, but got 'no'"),
        (dims.WEIGHTS, "imagnet", "or an existing file, but got 'imagnet'; did you mean"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_rule(
    dimension: Dimension, typed: str, rule: str
) -> None:
    with pytest.raises(SpaceError, match=rule.replace("..", r"\.\.")):
        narrowed(dimension, typed)


@pytest.mark.parametrize(
    ("dimension", "typed", "value"),
    [
        (dims.RATE, "1e-4", 1e-4),
        (dims.RATE, "1", 1.0),
        (dims.FILTERS, "64", 64),
        (dims.FILTERS, "6.4e1", 64),
        (dims.NORMALIZE, "False", False),
        (dims.WEIGHTS, "none", "none"),
    ],
)
def test_a_fixed_value_has_the_type_of_its_dimension(
    dimension: Dimension, typed: str, value: Value
) -> None:
    found = fixed(dimension, typed)
    assert found == Choice(dimension.name, (value,), value, dimension.when)
    assert type(found.default) is type(value)


@pytest.mark.parametrize("typed", ["nan", "inf", "-inf", "1e999", "1..2", "1,2", "", "0x10", "²"])
def test_no_number_is_taken_that_is_none(typed: str) -> None:
    for dimension in (dims.DEPTH, dims.DROPOUT):
        with pytest.raises(SpaceError, match="must be a"):
            fixed(dimension, typed)


def test_a_file_stands_for_an_option_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    file = tmp_path / "my.weights.h5"
    file.touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fixed(dims.WEIGHTS, "../my.weights.h5").default == str(file)
    assert fixed(dims.WEIGHTS, "~/my.weights.h5").default == str(file)
    both = narrowed(dims.WEIGHTS, "none,../my.weights.h5")
    assert both.grid(2) == ("none", str(file))
    for none in (str(tmp_path), "x" * 5000, "~nobody/x"):
        with pytest.raises(SpaceError, match="existing file"):
            fixed(dims.WEIGHTS, none)
    with pytest.raises(SpaceError, match="must be one of adam, sgd, but"):
        fixed(dims.OPTIMIZER, str(file))


@given(bounds=dims.floats() | dims.ints(), ends=st.tuples(dims.numbers, dims.numbers))
def test_what_a_range_says_of_itself_gives_it_again(
    bounds: Float | Int, ends: tuple[Value, Value]
) -> None:
    low, high = sorted(map(bounds.nearest, ends))
    assume(low < high)
    typed = f"{low!r}..{high!r}"
    found = narrowed(bounds, typed)
    assert narrowed(bounds, found.describe()) == found
