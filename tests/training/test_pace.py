from __future__ import annotations

import dataclasses
import itertools
import time

import pytest

from automl_img.training import pace
from automl_img.training.pace import Pace
from automl_img.trials import EpochResult, TrialSpec

SPEC = TrialSpec(0, {}, 0, 20, "", "", True, (), True, "")


class Clock:
    """The time that ``Pace`` reads."""

    def __init__(self) -> None:
        self.now = 1000.0

    def run(self, paced: Pace, epochs: list[float], earlier: int = 0) -> list[int]:
        """The places of epochs that take so many seconds each, as far as ``paced`` goes."""
        results: list[EpochResult] = []
        places = []
        for seconds in epochs:
            if paced.ends(results):
                break
            places.append(paced.place(results, earlier))
            self.now += seconds
            results.append(EpochResult(len(results) + 1, 1.0, 0.5, None, None, seconds, 0.01))
        return places


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace.time, "time", lambda: made.now)
    return made


def paced(clock: Clock, seconds: float) -> Pace:
    return Pace(dataclasses.replace(SPEC, deadline=clock.now + seconds))


def test_without_a_deadline_an_epoch_is_at_its_own_place_and_none_is_the_last(clock: Clock) -> None:
    assert clock.run(Pace(SPEC), [10.0] * 20) == list(range(20))


def test_a_trial_keeps_to_its_epochs_whatever_its_deadline(clock: Clock) -> None:
    trial = Pace(dataclasses.replace(SPEC, train_on_all=False, deadline=time.time() - 1))
    assert clock.run(trial, [10.0] * 20) == list(range(20))


def test_where_all_epochs_fit_each_is_at_its_place_however_long_the_first_took(
    clock: Clock,
) -> None:
    assert clock.run(paced(clock, 300.0), [40.0, *[10.0] * 19]) == list(range(20))


def test_where_half_of_them_fit_the_last_that_fits_is_at_the_end(clock: Clock) -> None:
    places = clock.run(paced(clock, 105.0), [10.0] * 20)
    assert len(places) == 10
    assert places[0] == 0
    assert places[-1] == 19
    steps = {later - place for place, later in itertools.pairwise(places)}
    assert steps <= {1, 2, 3}


def test_what_is_left_of_a_schedule_spans_all_epochs(clock: Clock) -> None:
    places = clock.run(paced(clock, 1000.0), [10.0] * 20, earlier=10)
    assert places == [10 + place // 2 for place in range(20)]


def test_one_epoch_that_traced_its_graph_does_not_end_a_retraining(clock: Clock) -> None:
    places = clock.run(paced(clock, 60.0), [35.0, *[10.0] * 19])
    assert len(places) == 3
