"""How long a trial may still train, so that it ends with its deadline and not after it."""

from __future__ import annotations

import time
from collections.abc import Iterator

# Divergence is noticed after so many steps, at the latest; the end of the time after a second.
_STEPS_AT_ONCE = 1000
_SECONDS_AT_ONCE = 1.0
# Validating an image takes less than half of a training step, which also goes back.
_OF_A_STEP = 0.5


class Countdown:
    """Says how many steps may be made before the clock is looked at again, and when time is up.

    What a step and a validation take is learnt from those that were made; another phase of the
    training has others.
    """

    def __init__(self, deadline: float | None) -> None:
        """
        Args:
            deadline: in seconds since 1970; None sets no limit.
        """
        self._deadline = deadline
        self.begin()

    def begin(self) -> None:
        """Another phase begins."""
        self._traced = False
        self._step = 0.0
        self._validation: float | None = None

    def validated(self, seconds: float) -> None:
        """Take in how long a validation took."""
        self._validation = seconds

    def steps(self, count: int, validation: float) -> Iterator[range]:
        """The numbers of an epoch's steps, from 0, as many at once as may be made without a look at
        the clock; they end early where there is only time left to validate.

        Args:
            count: steps of the epoch.
            validation: batches of it, of the size of a step.
        """
        stop = 0
        while stop < count and not self._is_over(validation):
            numbers = range(stop, min(stop + self._at_once(), count))
            started, stop = time.perf_counter(), numbers.stop
            yield numbers
            # The first step, which may trace the graph, does not tell how long the others take.
            each = (time.perf_counter() - started) / len(numbers)
            self._step, self._traced = each if self._traced else 0.0, True

    def _at_once(self) -> int:
        if self._deadline is None:
            return _STEPS_AT_ONCE
        if not self._step:
            return 1
        return max(1, min(_STEPS_AT_ONCE, int(_SECONDS_AT_ONCE / self._step)))

    def _is_over(self, validation: float) -> bool:
        if self._deadline is None:
            return False
        expected = _OF_A_STEP * self._step * validation
        needed = expected if self._validation is None else self._validation
        return time.time() + needed >= self._deadline
