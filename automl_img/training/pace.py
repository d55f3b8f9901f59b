"""How a retraining goes through its schedule where there is no time for all of its epochs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from automl_img.trials import EpochResult, TrialSpec

# The first epoch, which traces the graph, does not tell how long the others take.
_FEWEST = 2


class Pace:
    """Goes faster through the schedule than through the epochs, where the deadline asks for it.

    So a retraining ends at the low rates that its schedule ends with, however short it is (budgeted
    training, https://arxiv.org/abs/1905.04753). Trials keep to their epochs, as they are compared.
    """

    def __init__(self, spec: TrialSpec) -> None:
        self._epochs = spec.max_epochs
        self._deadline = spec.deadline if spec.train_on_all else None
        self._at = 0.0

    def place(self, results: Sequence[EpochResult], earlier: int = 0) -> int:
        """Where on its schedule the next epoch is, from 0; ask once an epoch.

        At its number, as long as the epochs that are left fit into the time. Where they do not,
        each goes so much further that the last one that fits is at the end.

        Args:
            results: of the epochs so far.
            earlier: epochs of the trial that the retraining goes on from; with a deadline what is
                left of the schedule spans all of its own.
        """
        if self._deadline is None:
            return earlier + len(results)
        if len(results) < _FEWEST:
            self._at = min(len(results), self._epochs - 1)
        else:
            # One that goes on from its checkpoint does not know what pace it had.
            self._at = self._at or len(results) - 1
            fit = max(1, int((self._deadline - time.time()) / _seconds(results)))
            left = self._epochs - 1 - self._at
            self._at = min(self._at + max(1.0, left / fit), self._epochs - 1)
        return int(earlier + self._at * (self._epochs - earlier) / self._epochs)

    def ends(self, results: Sequence[EpochResult]) -> bool:
        """Whether there is no time for another epoch."""
        if self._deadline is None or len(results) < _FEWEST:
            return False
        return time.time() + _seconds(results) > self._deadline


def _seconds(results: Sequence[EpochResult]) -> float:
    """The longer one of the last two epochs, without the first of all."""
    return max(result.seconds for result in results[1:][-2:])
