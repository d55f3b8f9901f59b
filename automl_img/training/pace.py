"""How a retraining goes through its schedule where there is no time for all of its epochs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from automl_img.trials import EpochResult, TrialSpec


class Pace:
    """Goes faster through the schedule than through the epochs, where the deadline asks for it.

    So a retraining ends at the low rates that its schedule ends with, however short it is (budgeted
    training, https://arxiv.org/abs/1905.04753). Trials keep to their epochs, as they are compared.
    """

    def __init__(self, spec: TrialSpec) -> None:
        self._epochs = spec.max_epochs
        self._began = time.time()
        self._deadline = spec.deadline if spec.train_on_all else None

    def place(self, epoch: int, earlier: int = 0) -> int:
        """Where on its schedule an epoch is, from 0: at its number, or ahead of it.

        Args:
            earlier: epochs of the trial that the retraining goes on from; what is left of the
                schedule spans all of its own.
        """
        own = float(epoch)
        if self._deadline is not None:
            share = (time.time() - self._began) / max(self._deadline - self._began, 1e-9)
            own = max(own, min(share * self._epochs, self._epochs - 1))
        return int(earlier + own * (self._epochs - earlier) / self._epochs)

    def ends(self, results: Sequence[EpochResult]) -> bool:
        """Whether there is no time for another epoch."""
        if self._deadline is None or not results:
            return False
        longest = max(result.seconds for result in results[-2:])
        return time.time() + longest > self._deadline
