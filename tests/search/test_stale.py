from __future__ import annotations

import dataclasses

from automl_img.search.rungs import ladder_of
from automl_img.search.stale import Staleness
from automl_img.trials import TrialState
from tests.search.spaces import record

RUNGS = [2, 6]


def heard(*trials: tuple[float, tuple[float, ...]]) -> Staleness:
    """One that heard of trials, each as (share of the budget spent by its end, its curve)."""
    staleness = Staleness(RUNGS)
    for number, (spent, curve) in enumerate(trials):
        staleness.ended(record(number, curve), spent)
    return staleness


def test_a_third_of_the_budget_without_a_better_trial_ends_the_search() -> None:
    staleness = heard((0.2, (0.5, 0.8, 0.9)), (0.4, (0.3, 0.4)), (0.5, (0.4, 0.7, 0.8)))
    assert staleness.why(0.5) is None
    why = staleness.why(0.54)
    assert why is not None
    assert "trial 0 (0.900)" in why


def test_a_trial_that_was_ahead_at_a_rung_keeps_the_search_going_for_a_third() -> None:
    staleness = heard((0.2, (0.5, 0.7, 0.9)), (0.4, (0.6, 0.8)))
    assert staleness.why(0.73) is None
    assert staleness.why(0.74) is not None


def test_a_trial_is_compared_with_the_best_of_its_own_kind() -> None:
    staleness = heard((0.2, (0.5, 0.7, 0.9)))
    frozen = {"backbone": "vgg16", "weights": "imagenet", "vgg16.frozen_layers": 19}
    assert ladder_of(frozen) == "frozen"
    staleness.ended(record(1, (0.6, 0.8), params=frozen), 0.4)
    assert staleness.why(0.54) is not None
    staleness.ended(record(2, (0.6, 0.85), params=frozen), 0.5)
    assert staleness.why(0.83) is None
    staleness.ended(record(3, (0.6, 0.84), params=frozen), 0.8)
    assert staleness.why(0.84) is not None


def test_a_better_trial_starts_the_third_anew_and_forgets_who_was_ahead_of_the_old_one() -> None:
    staleness = heard((0.1, (0.5, 0.7)), (0.2, (0.8, 0.6)), (0.5, (0.9, 0.95)))
    assert staleness.why(0.8) is None
    assert staleness.why(0.84) is not None


def test_failures_probes_and_repeats_say_nothing() -> None:
    staleness = heard((0.1, (0.5, 0.7)))
    staleness.ended(record(1, (0.6, 0.9), state=TrialState.FAILED), 0.4)
    staleness.ended(dataclasses.replace(record(2, (0.6, 0.9)), origin="probe"), 0.4)
    staleness.ended(dataclasses.replace(record(3, (0.6, 0.9)), origin="repeat"), 0.4)
    why = staleness.why(0.5)
    assert why is not None
    assert "trial 0" in why


def test_without_a_trial_there_is_nothing_to_be_tired_of() -> None:
    assert Staleness(RUNGS).why(1.0) is None
