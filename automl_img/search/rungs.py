"""When to stop a trial: asynchronous successive halving (https://arxiv.org/abs/1810.05934)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

REDUCTION_FACTOR = 3
# With fewer values at a rung the comparison is chance.
_FEWEST_VALUES = 3


class Rungs:
    """Which trials may go on beyond which epoch.

    At each rung a trial goes on if its best value so far is among the best third of those that
    reached the rung before it. Deviations from the paper: the best value so far counts, not the
    last one; nobody is stopped on fewer than three values; one bracket.

    Attributes:
        epochs: the rungs, ascending, all below ``max_epochs``.
    """

    def __init__(self, max_epochs: int) -> None:
        grace = max(2, max_epochs // REDUCTION_FACTOR**2)
        self.epochs: list[int] = []
        while grace < max_epochs:
            self.epochs.append(grace)
            grace *= REDUCTION_FACTOR
        self._values: dict[int, dict[int, float]] = {epoch: {} for epoch in self.epochs}

    def rebuild(self, history: Iterable[tuple[int, dict[int, float]]]) -> None:
        """Take in what earlier trials reached: (number, value by epoch) of each."""
        for number, values in history:
            for rung in self.epochs:
                reached = [value for epoch, value in values.items() if epoch <= rung]
                if max(values, default=0) >= rung:
                    self._values[rung][number] = max(reached)

    def goes_on(self, number: int, epoch: int, best: float, warmup: int = 0) -> bool:
        """Whether trial ``number`` may train beyond ``epoch``, where its best value is ``best``.

        Args:
            warmup: epochs in which the trial is not compared.
        """
        if epoch not in self._values or epoch <= warmup:
            return True
        values = self._values[epoch]
        values[number] = best
        if len(values) < _FEWEST_VALUES:
            return True
        cut = np.quantile(list(values.values()), 1 - 1 / REDUCTION_FACTOR)
        return bool(best >= cut)
