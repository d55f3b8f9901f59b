from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_img.objectives import parse_objectives
from automl_img.search.rungs import Rungs, ladder_of
from automl_img.trials import Origin, Params
from tests.search.spaces import record


@pytest.mark.parametrize(
    ("max_epochs", "expected"),
    [(1, []), (2, []), (3, [2]), (6, [2]), (12, [2, 6]), (30, [3, 9, 27]), (81, [9, 27])],
)
def test_rungs_grow_by_three_and_end_below_the_last_epoch(
    max_epochs: int, expected: list[int]
) -> None:
    assert Rungs(max_epochs).epochs == expected


def test_nobody_is_stopped_on_fewer_than_three_values() -> None:
    rungs = Rungs(6)
    assert rungs.goes_on(0, 2, 0.9)
    assert rungs.goes_on(1, 2, 0.1)
    assert not rungs.goes_on(2, 2, 0.2)


def test_nobody_is_stopped_between_the_rungs() -> None:
    rungs = Rungs(30)
    for number in range(5):
        rungs.goes_on(number, 3, 0.9)
    assert rungs.goes_on(9, 4, 0.0)
    assert not rungs.goes_on(9, 3, 0.0)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=30, unique=True))
def test_at_a_full_rung_the_best_third_goes_on_and_the_worst_does_not(values: list[float]) -> None:
    rungs = Rungs(6)
    for number, value in enumerate(values):
        rungs.goes_on(number, 2, value)
    goes_on = [rungs.goes_on(number, 2, value) for number, value in enumerate(values)]
    assert goes_on[int(np.argmax(values))]
    assert not goes_on[int(np.argmin(values))]
    assert sum(goes_on) <= np.ceil(len(values) / 3) + 1


def test_frozen_networks_are_compared_from_the_second_rung_on() -> None:
    rungs = Rungs(30)
    decisions = {
        (ladder, rung): [
            rungs.goes_on(number, rung, accuracy, ladder)
            for number, accuracy in enumerate((0.9, 0.8, 0.1))
        ][-1]
        for ladder in ("frozen", "fine-tuned")
        for rung in (3, 9)
    }
    assert decisions == {
        ("frozen", 3): True,
        ("frozen", 9): False,
        ("fine-tuned", 3): False,
        ("fine-tuned", 9): False,
    }
    # With a single rung there is no second one.
    short = Rungs(6)
    assert [short.goes_on(n, 2, value, "frozen") for n, value in enumerate((0.9, 0.8, 0.1))] == [
        True,
        True,
        False,
    ]


def test_rebuilt_rungs_decide_as_those_that_heard_every_trial() -> None:
    curves = {n: [(n * 7 % 10) / 10 + e / 100 for e in range(1, 4)] for n in range(6)}
    heard, rebuilt = Rungs(30), Rungs(30)
    for number, curve in curves.items():
        heard.goes_on(number, 3, max(curve), "from scratch")
    rebuilt.rebuild(record(number, tuple(curve)) for number, curve in curves.items())
    for value in np.linspace(0, 1, 21):
        decisions = [rungs.goes_on(99, 3, value, "from scratch") for rungs in (heard, rebuilt)]
        assert decisions[0] == decisions[1]


def test_a_trial_that_ended_below_a_rung_is_not_counted_there() -> None:
    rungs = Rungs(30)
    rungs.rebuild(record(number, (0.9, 0.9)) for number in range(5))
    assert rungs.goes_on(9, 3, 0.1, "from scratch")


def test_probes_and_repeats_are_not_counted() -> None:
    rungs = Rungs(6)
    origins: tuple[Origin, ...] = ("probe", "repeat", "probe")
    rungs.rebuild(
        dataclasses.replace(record(number, (0.9, 0.9)), origin=origin)
        for number, origin in enumerate(origins)
    )
    assert rungs.goes_on(9, 2, 0.1, "from scratch")


def test_a_trial_is_compared_with_its_own_kind() -> None:
    rungs = Rungs(6)
    for number in range(3):
        rungs.goes_on(number, 2, 0.9, "frozen")
    assert rungs.goes_on(9, 2, 0.1, "fine-tuned")
    assert not rungs.goes_on(9, 2, 0.1, "frozen")


@pytest.mark.parametrize(
    ("params", "ladder"),
    [
        ({"backbone": "cnn"}, "from scratch"),
        ({"backbone": "vgg19", "weights": "none"}, "from scratch"),
        ({"backbone": "vgg19", "weights": "imagenet", "vgg19.frozen_layers": 22}, "frozen"),
        ({"backbone": "vgg19", "weights": "imagenet", "vgg19.frozen_layers": 17}, "fine-tuned"),
        ({"backbone": "vgg19", "weights": "imagenet", "vgg19.frozen_layers": 0}, "fine-tuned"),
        ({"backbone": "vgg19", "weights": "/own.h5", "vgg19.frozen_layers": 22}, "frozen"),
    ],
)
def test_the_ladder_follows_from_what_is_trained(params: Params, ladder: str) -> None:
    assert ladder_of(params) == ladder


def test_with_promotion_a_paused_trial_goes_on_when_weaker_ones_came_after_it() -> None:
    rungs = Rungs(6, promotion=True)
    values = (0.9, 0.8, 0.7)
    assert [rungs.goes_on(number, 2, value) for number, value in enumerate(values)] == [
        True,
        True,
        False,
    ]
    assert rungs.promote() is None
    for number, value in enumerate((0.1, 0.2, 0.3, 0.15, 0.25, 0.1), start=3):
        assert not rungs.goes_on(number, 2, value)
    assert rungs.promote() == 2
    assert rungs.promote() is None


def test_the_best_value_so_far_counts_not_the_last() -> None:
    rungs = Rungs(6)
    best_first = ((0.8, 0.1), (0.7, 0.1), (0.6, 0.1))
    rungs.rebuild(record(number, values) for number, values in enumerate(best_first))
    assert not rungs.goes_on(3, 2, 0.5, "from scratch")
    assert rungs.goes_on(4, 2, 0.9, "from scratch")


def test_with_a_second_objective_the_cheapest_goes_on_though_it_is_the_least_accurate() -> None:
    rungs = Rungs(6, objectives=parse_objectives("val_accuracy,latency"))
    for number, (accuracy, latency) in enumerate([(0.9, 9.0), (0.8, 8.0), (0.85, 9.5)]):
        rungs.goes_on(number, 2, accuracy, serving={"latency_ms": latency})
    assert rungs.goes_on(3, 2, 0.1, serving={"latency_ms": 1.0})
    # Beaten in both by all of the first three.
    assert not rungs.goes_on(4, 2, 0.05, serving={"latency_ms": 10.0})


def test_with_one_objective_what_a_model_costs_changes_nothing() -> None:
    rungs = Rungs(6)
    for number, accuracy in enumerate([0.9, 0.8, 0.85]):
        rungs.goes_on(number, 2, accuracy, serving={"latency_ms": 9.0})
    assert not rungs.goes_on(3, 2, 0.1, serving={"latency_ms": 1.0})


@given(
    values=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9])), max_size=60
    )
)
def test_a_trial_goes_on_if_fewer_than_a_third_are_better_counted_one_by_one(
    values: list[tuple[int, float]],
) -> None:
    rungs, known = Rungs(6), {}
    for number, value in values:
        # The same trial may report again.
        known[number] = value
        better = sum(other > value for other in known.values())
        expected = len(known) < 3 or better < len(known) / 3
        assert rungs.goes_on(number, 2, value) == expected
