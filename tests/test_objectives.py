"""Limits and aims: what is typed, which are broken, which trials no other beats."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_img.metrics import NAMES
from automl_img.objectives import (
    Limits,
    described,
    pareto_front,
    parse_objectives,
)
from automl_img.trials import TrialRecord
from tests.search.spaces import record

AIMS = parse_objectives("val_accuracy,latency")


def trial(number: int, accuracy: float, latency: float | None, size: float = 1e6) -> TrialRecord:
    serving = {"size_bytes": size, "parameters": 250_000.0}
    serving |= {} if latency is None else {"latency_ms": latency}
    return dataclasses.replace(record(number, (accuracy,)), serving=serving)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"latency": "20ms"}, Limits(latency_ms=20.0)),
        ({"latency": " 0.5 s "}, Limits(latency_ms=500.0)),
        ({"size": "10MB", "params": "1M"}, Limits(size_bytes=1e7, parameters=1e6)),
        ({"size": "500kb", "params": "250000"}, Limits(size_bytes=5e5, parameters=250_000.0)),
        ({}, Limits()),
    ],
)
def test_limits_are_read_as_they_are_typed(typed: dict[str, str], expected: Limits) -> None:
    assert Limits.parse(**typed) == expected
    assert bool(expected) == bool(typed)


@pytest.mark.parametrize(
    ("option", "typed", "rule"),
    [
        ("latency", "20", "20ms or 0.5s"),
        ("latency", "0ms", "above 0"),
        ("latency", "fast", "20ms or 0.5s"),
        ("size", "10 ms", "10MB or 500kB"),
        ("size", "-1MB", "10MB or 500kB"),
        ("params", "1GB", "1M, 500k or 250000"),
        ("params", "", "1M, 500k or 250000"),
    ],
)
def test_what_is_no_limit_is_refused_with_the_rule(option: str, typed: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Limits.parse(**{option: typed})


def test_a_violation_is_above_zero_where_a_limit_is_broken_and_not_where_it_is_met() -> None:
    limits = Limits.parse("20ms", "10MB", "1M")
    measured = {"latency_ms": 30.0, "size_bytes": 1e7, "parameters": 5e5}
    assert limits.violations(measured) == pytest.approx(
        {"latency_ms": 0.5, "size_bytes": 0.0, "parameters": -0.5}
    )
    assert limits.violations({"parameters": 2e6}) == pytest.approx({"parameters": 1.0})
    assert Limits().violations(measured) == {}


def test_what_is_infeasible_says_which_limits_are_broken() -> None:
    limits = Limits.parse("20ms", "10MB", None)
    sentence = limits.infeasible({"latency_ms": 25.34, "size_bytes": 1.2e7, "parameters": 1e9})
    assert sentence == (
        "the exported model needs 25.3 ms, more than --max-latency 20 ms and 12.0 MB, more than "
        "--max-size 10.0 MB"
    )
    assert limits.infeasible({"latency_ms": 20.0, "size_bytes": 1e7}) is None
    assert limits.infeasible({}) is None


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "accuracy",
        "latency",
        "latency,val_accuracy",
        "val_accuracy,size,size",
        "val_accuracy,val_loss",
    ],
)
def test_objectives_are_known_ones_one_score_first(typed: str) -> None:
    with pytest.raises(ValueError, match="val_accuracy,latency"):
        parse_objectives(typed)


def test_every_score_can_be_aimed_at_alone_and_beside_what_it_costs() -> None:
    for name in NAMES:
        assert [aim.name for aim in parse_objectives(name)] == [name]
        aims = parse_objectives(f"{name},latency")
        assert [aim.direction for aim in aims] == ["maximize", "minimize"]


def test_objectives_know_their_direction() -> None:
    aims = parse_objectives("val_accuracy, params,size")
    assert [(aim.name, aim.direction) for aim in aims] == [
        ("val_accuracy", "maximize"),
        ("params", "minimize"),
        ("size", "minimize"),
    ]


def test_the_front_has_what_no_other_beats_the_most_accurate_first() -> None:
    records = [
        trial(0, 0.70, 2.0),
        trial(1, 0.90, 9.0),
        trial(2, 0.80, 9.5),  # 1 is better in both.
        trial(3, 0.95, 30.0),
        trial(4, 0.90, 9.0),  # As good as 1.
        trial(5, 0.70, 2.5),  # 0 is as accurate and faster.
        trial(6, 0.99, None),
    ]
    front = pareto_front(records, AIMS)
    assert [each.number for each in front] == [3, 1, 4, 0]
    assert pareto_front(records[::-1], AIMS) == front


def test_what_breaks_a_limit_is_not_on_the_front_and_hides_nothing() -> None:
    records = [trial(0, 0.9, 5.0, size=2e7), trial(1, 0.8, 6.0, size=1e6)]
    front = pareto_front(records, AIMS, Limits.parse(size="10MB"))
    assert [each.number for each in front] == [1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=25))
def test_everyone_is_on_the_front_or_beaten_by_someone_on_it(values: list[tuple[int, int]]) -> None:
    records = [trial(n, accuracy / 5, cost) for n, (accuracy, cost) in enumerate(values)]
    front = pareto_front(records, AIMS)
    points = {(values[each.number]) for each in front}
    for accuracy, cost in values:
        beaten = any(a >= accuracy and c <= cost and (a, c) != (accuracy, cost) for a, c in points)
        assert beaten != ((accuracy, cost) in points)


@pytest.mark.parametrize(
    ("fact", "value", "words"),
    [
        ("latency_ms", 3.234, "3.23 ms"),
        ("latency_ms", 2500.0, "2.5 s"),
        ("size_bytes", 1.234e7, "12.3 MB"),
        ("size_bytes", 45_600.0, "45.6 kB"),
        ("parameters", 1_234_567.0, "1,234,567 parameters"),
    ],
)
def test_measured_facts_are_said_with_their_unit(fact: str, value: float, words: str) -> None:
    assert described(fact, value) == words
