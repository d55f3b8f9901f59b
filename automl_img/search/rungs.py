"""When to stop a trial: asynchronous successive halving (https://arxiv.org/abs/1810.05934)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from ray.tune.schedulers import FIFOScheduler

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

    def goes_on(self, number: int, epoch: int, best: float) -> bool:
        """Whether trial ``number`` may train beyond ``epoch``, where its best value is ``best``."""
        if epoch not in self._values:
            return True
        values = self._values[epoch]
        values[number] = best
        if len(values) < _FEWEST_VALUES:
            return True
        cut = np.quantile(list(values.values()), 1 - 1 / REDUCTION_FACTOR)
        return bool(best >= cut)


class RungScheduler(FIFOScheduler):  # type: ignore[misc]
    """Tells Ray Tune to stop a trial when ``stops`` says so, and starts them in order."""

    def __init__(self, stops: Callable[[str, dict[str, Any]], bool]) -> None:
        """
        Args:
            stops: called with Tune's id of a trial and its report.
        """
        super().__init__()
        self._stops = stops

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = self.STOP if self._stops(trial.trial_id, result) else self.CONTINUE
        return str(decision)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles schedulers into its snapshots; nothing of a search is restored from those.
        return {}
