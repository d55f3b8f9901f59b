from __future__ import annotations

import pytest

from automl_img.training import countdown
from automl_img.training.countdown import Countdown


class Clock:
    """The time that ``Countdown`` reads; steps and validations move it on."""

    now = 1000.0

    def run(self, counting: Countdown, steps: int, seconds: float, batches: float = 0.0) -> int:
        """Make the steps of an epoch that take so many seconds each; how many there were."""
        done = 0
        for numbers in counting.steps(steps, batches):
            assert numbers.start == done
            self.now += seconds * len(numbers)
            done = numbers.stop
        return done


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(countdown.time, "time", lambda: made.now)
    monkeypatch.setattr(countdown.time, "perf_counter", lambda: made.now)
    return made


def test_without_a_deadline_all_steps_are_made(clock: Clock) -> None:
    assert clock.run(Countdown(None), 2500, 1.0) == 2500


@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.5, 40.0])
def test_a_deadline_is_kept_within_a_second_or_a_step(clock: Clock, seconds: float) -> None:
    end = clock.now + 100
    assert clock.run(Countdown(end), 100_000, seconds) >= 1
    assert end <= clock.now <= end + max(1.0, seconds)


def test_the_clock_is_looked_at_about_once_a_second(clock: Clock) -> None:
    looks = 0
    for numbers in Countdown(clock.now + 1000).steps(1000, 0.0):
        clock.now += 0.05 * len(numbers)
        looks += 1
    assert 50 <= looks <= 55


def test_time_to_validate_is_left_first_by_the_steps_then_as_it_was_measured(clock: Clock) -> None:
    end = clock.now + 100
    counting = Countdown(end)
    # Validating 20 batches is expected to take half of 20 steps.
    clock.run(counting, 1000, 1.0, batches=20)
    assert clock.now == pytest.approx(end - 10, abs=1)
    clock.now = end - 100
    counting.validated(40.0)
    clock.run(counting, 1000, 1.0, batches=20)
    assert clock.now == pytest.approx(end - 40, abs=1)


def test_a_first_step_that_traced_its_graph_does_not_end_the_epoch(clock: Clock) -> None:
    counting = Countdown(clock.now + 100)
    done = 0
    for numbers in counting.steps(50, 500.0):
        clock.now += 60.0 if done == 0 else 0.1 * len(numbers)
        done = numbers.stop
    assert done == 50


def test_another_phase_has_steps_and_validations_of_its_own(clock: Clock) -> None:
    end = clock.now + 100
    counting = Countdown(end)
    clock.run(counting, 2000, 0.001)
    counting.validated(90.0)
    counting.begin()
    clock.run(counting, 1000, 1.0)
    assert clock.now == pytest.approx(end, abs=1)
