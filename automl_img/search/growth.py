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

        Past half of its share the process lets go of one thing that it keeps for later trials: the
        next trial reuses that memory, though little of it goes back to the system. Past its share,
        or 1 GB above its level after ten trials, it lets go of as much as that takes; it is too
        large if nothing is left to let go of. A process that has run nothing is never too large:
        a new one would not be smaller.

        Args:
            let_go: lets go of one thing that is kept; says whether there was one.
        """
        self.trials += 1
        if self.trials == 1:
            return False
        held = self._measure()
        if held > self._share / 2 and let_go():
            held = self._measure()
        while self._past_bound(held) and let_go():
            held = self._measure()
        if self.trials == _SETTLED_AFTER + 1:
            self._settled = held
        return self._past_bound(held)

    def _past_bound(self, held: int) -> bool:
        grew = self._settled is not None and held > self._settled + _MOST_GROWTH
        return held > self._share or grew
