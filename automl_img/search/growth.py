"""Whether a worker process has grown too large to take another trial."""

from __future__ import annotations

from collections.abc import Callable

from automl_img.search.hardware import own_memory

# By then what a process grows by once has been allocated: code, thread pools, graphs.
_SETTLED_AFTER = 10
_MOST_GROWTH = 1_000_000_000


class Growth:
    """The memory of a worker process from trial to trial.

    Attributes:
        trials: started by the process so far.
    """

    def __init__(self, share: int, measure: Callable[[], int] = own_memory) -> None:
        """
        Args:
            share: bytes that the process may hold for itself.
            measure: gives the bytes that it holds.
        """
        self._share = share
        self._measure = measure
        self._settled: int | None = None
        self.trials = 0

    def too_large(self, let_go: Callable[[], bool]) -> bool:
        """Whether the next trial belongs into a new process; called before each trial.

        Past half of its share, or 1 GB above its level after ten trials, the process lets go of
        what it keeps for later trials. It is too large if it then still holds more than its share,
        or is still 1 GB above that level. A process that has run nothing is never too large: a
        new one would not be smaller.

        Args:
            let_go: lets go of one thing that is kept; says whether there was one.
        """
        self.trials += 1
        if self.trials == 1:
            return False
        held = self._measure()
        while (held > self._share / 2 or self._grew(held)) and let_go():
            before, held = held, self._measure()
            if held >= before:
                # What is let go of does not come back to the system: the rest is worth more here.
                break
        if self.trials == _SETTLED_AFTER + 1:
            self._settled = held
        return held > self._share or self._grew(held)

    def _grew(self, held: int) -> bool:
        return self._settled is not None and held > self._settled + _MOST_GROWTH
