from __future__ import annotations

import dataclasses
import time

import pytest

from automl_img.training import pace
from automl_img.training.pace import Pace
from automl_img.trials import EpochResult, TrialSpec

SPEC = TrialSpec(0, {}, 0, 20, "", "", True, (), (), True, "")
EPOCH = EpochResult(1, 1.0, 0.5, None, None, 10.0, 0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that ``Pace`` reads."""
    now = [1000.0]
    monkeypatch.setattr(pace.time, "time", lambda: now[0])
    return now


def test_without_a_deadline_an_epoch_is_at_its_own_place_and_none_is_the_last() -> None:
    free = Pace(SPEC)
    assert [free.place(epoch) for epoch in (0, 7, 19)] == [0, 7, 19]
    assert not free.ends([EPOCH])


def test_a_trial_keeps_to_its_epochs_whatever_its_deadline() -> None:
    trial = Pace(dataclasses.replace(SPEC, train_on_all=False, deadline=time.time() - 1))
    assert trial.place(3) == 3
    assert not trial.ends([EPOCH])


def test_half_of_the_time_is_half_of_the_schedule(clock: list[float]) -> None:
    short = Pace(dataclasses.replace(SPEC, deadline=clock[0] + 100))
    assert short.place(0) == 0
    clock[0] += 50
    assert short.place(3) == 10
    # Where the epochs are faster than the time, they count.
    assert short.place(15) == 15
    clock[0] += 500
    assert short.place(3) == 19


def test_the_last_epoch_is_the_last_that_fits(clock: list[float]) -> None:
    short = Pace(dataclasses.replace(SPEC, deadline=clock[0] + 100))
    clock[0] += 89
    assert not short.ends([EPOCH])
    clock[0] += 2
    assert short.ends([EPOCH])
    assert not short.ends([])
