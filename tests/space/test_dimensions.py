from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_img.errors import SpaceError
from automl_img.space.dimensions import Choice, Dimension, Float, Int, SearchSpace, When, text
from automl_img.trials import Value
from tests.space import dims

SPACE = SearchSpace("test", (dims.OPTIMIZER, dims.MOMENTUM, dims.DECAY, dims.NESTED), frozenset())


@given(dimension=dims.floats() | dims.ints(), wanted=dims.numbers)
def test_the_nearest_value_is_inside_and_stays_where_it_is(
    dimension: Float | Int, wanted: Value
) -> None:
    nearest = dimension.nearest(wanted)
    assert dimension.contains(nearest)
    assert dimension.nearest(nearest) == nearest
    if dimension.contains(wanted):
        assert nearest == wanted


@given(dimension=dims.ints(), wanted=st.integers(-2000, 8000))
def test_no_other_whole_number_inside_is_nearer(dimension: Int, wanted: int) -> None:
    inside = range(dimension.low, dimension.high + 1, dimension.step)
    assert abs(dimension.nearest(wanted) - wanted) == min(abs(each - wanted) for each in inside)


@given(dimension=dims.floats() | dims.ints(), points=st.integers(2, 7))
def test_a_grid_is_inside_ascends_and_includes_both_ends(
    dimension: Float | Int, points: int
) -> None:
    grid = dimension.grid(points)
    assert all(dimension.contains(value) for value in grid)
    assert len(grid) <= points
    assert list(grid) == sorted(grid)
    assert grid[0] == dimension.low
    assert grid[-1] == (dimension.low if dimension.single else dimension.nearest(dimension.high))


@given(dimension=dims.choices, points=st.integers(1, 3))
def test_a_grid_of_a_choice_is_every_option(dimension: Choice, points: int) -> None:
    assert dimension.grid(points) == dimension.options


def test_a_logarithmic_grid_has_its_middle_at_the_geometric_mean() -> None:
    assert dims.RATE.grid(3)[1] == pytest.approx(1e-3)
    assert Float("x", 0.0, 1.0, None).grid(3) == (0.0, 0.5, 1.0)


@pytest.mark.parametrize("dimension", [dims.RATE, dims.DEPTH, Int("x", 2, 9, None, step=7)])
def test_both_bounds_are_inside_and_nothing_beyond(dimension: Float | Int) -> None:
    assert dimension.contains(dimension.low)
    assert dimension.contains(dimension.high)
    assert not dimension.contains(dimension.low - 1)
    assert not dimension.contains(dimension.high + 1)


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (dims.DEPTH, True),
        (dims.DEPTH, 2.0),
        (dims.DEPTH, "2"),
        (dims.DROPOUT, False),
        (dims.DROPOUT, "0.1"),
        (dims.DROPOUT, math.nan),
        (Float("x", 0.0, math.inf, None), math.inf),
        (Int("x", 2, 9, None, step=7), 3),
        (dims.NORMALIZE, 1),
        (Choice("x", (0, 1), None), False),
        (Choice("x", (32, 64), None), 32.0),
    ],
)
def test_a_value_of_another_type_or_off_the_steps_is_outside(
    dimension: Dimension, value: Value
) -> None:
    assert not dimension.contains(value)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Float("x", 2.0, 1.0, None), "low <= high must hold, but got 2.0..1.0"),
        (lambda: Float("x", math.nan, 1.0, None), "low <= high"),
        (lambda: Float("x", 0.0, 1.0, None, log=True), "must start above 0"),
        (lambda: Int("x", 0, 8, None, log=True), "must start above 0"),
        (lambda: Int("x", 1, 8, None, log=True, step=2), "1 with log, but got step=2"),
        (lambda: Int("x", 1, 8, None, step=0), "at least 1"),
        (lambda: Choice("x", (), None), "one or more"),
        (lambda: Choice("x", ("a", "a"), None), "all different"),
    ],
)
def test_a_dimension_that_makes_no_sense_cannot_be_made(make: object, rule: str) -> None:
    with pytest.raises(SpaceError, match=rule):
        make()  # type: ignore[operator]


def test_the_nearest_number_of_a_choice_is_the_closest_option() -> None:
    sizes = Choice("x", (16, 32, 64), None)
    assert [sizes.nearest(value) for value in (1, 40, 500)] == [16, 32, 64]
    assert dims.OPTIMIZER.nearest("rmsprop") == "adam"


def test_conditions_decide_what_counts_through_their_parents_too() -> None:
    assert SPACE.nearest({"optimizer": "sgd"}) == {
        "optimizer": "sgd",
        "momentum": 0.9,
        "nesterov": True,
    }
    assert SPACE.nearest({"optimizer": "sgd", "momentum": 0.0}).keys() == {"optimizer", "momentum"}
    # A parent that does not count makes a negated condition false too.
    assert SPACE.nearest({"optimizer": "adam"}) == {"optimizer": "adam", "decay": 0.01}


def test_conditions_are_told_in_words() -> None:
    assert When("a", (1, True)).describe() == "a is 1 or true"
    assert When("a", ("none",), negate=True).describe() == "a is not none"


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ({}, "optimizer must have a value"),
        ({"optimizer": "sgd", "momentum": 0.9}, "nesterov must have a value"),
        ({"optimizer": "sgd", "momentum": 2.0, "nesterov": True}, r"in 0\.\.0\.99, but got 2\.0"),
        ({"optimizer": "adam", "decay": 0.1, "momentum": 0.9}, "momentum does not count"),
        ({"optimizer": "adam", "decay": 0.1, "mometum": 0.9}, "did you mean 'momentum'"),
        ({"optimizer": "adam", "decay": True}, "but got True"),
    ],
)
def test_validation_names_what_is_missing_out_of_range_or_unknown(
    params: dict[str, Value], rule: str
) -> None:
    with pytest.raises(SpaceError, match=rule):
        SPACE.validate(params)


@settings(max_examples=200)
@given(
    wanted=st.dictionaries(st.sampled_from(["momentum", "decay"]), st.floats(-10, 10), max_size=2),
    optimizer=st.sampled_from(["adam", "sgd", "lion"]),
)
def test_the_nearest_point_validates(wanted: dict[str, Value], optimizer: str) -> None:
    nearest = SPACE.nearest({**wanted, "optimizer": optimizer})
    SPACE.validate(nearest)
    assert all(SPACE[name].contains(value) for name, value in nearest.items())


@given(value=st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False))
def test_a_value_as_text_is_that_value_again(value: Value) -> None:
    written = text(value)
    assert written == str(value).lower() if isinstance(value, bool) else float(written) == value
