"""How much of its machine a trial has: one share, or as many as its network needs."""

from __future__ import annotations

import dataclasses

from automl_img.errors import UnfitNode
from automl_img.runs import Run
from automl_img.search.memory import MemoryBounds
from automl_img.search.running import Running
from automl_img.search.sampler import Suggestion
from automl_img.training import checkpoint
from automl_img.trials import TrialSpec


class Sizing:
    """Gives each trial the shares that it needs, as far as a machine has them.

    Attributes:
        most_shares: that a trial may have by now.
    """

    def __init__(self, run: Run, memory: MemoryBounds) -> None:
        self._run, self._memory = run, memory
        self.most_shares = 1

    def refusal(self, suggestion: Suggestion, begun: bool) -> str | None:
        """Why a trial need not start, in a sentence; None where it may.

        Args:
            begun: whether it was cut off after it had started.
        """
        if begun or self._has_trained(suggestion):
            return None
        return self._memory.refusal(suggestion.params, self.most_shares)

    def sized(
        self, spec: TrialSpec, suggestion: Suggestion, begun: bool, bounded: bool
    ) -> TrialSpec:
        """``spec`` with the shares that it needs.

        Args:
            begun: whether it was cut off after it had started.
            bounded: whether it is not to be trained where it turns out to need more.
        """
        shares = self._memory.shares(spec.params, self.most_shares)
        known = begun or not bounded or self._has_trained(suggestion)
        bound = 0 if known else self._memory.allowance(spec.params, shares)
        return dataclasses.replace(spec, shares=shares, memory_bytes=bound)

    def goes_elsewhere(self, trial: Running) -> bool:
        """Whether a trial that has ended is to be tried in another place: its node was not fit for
        it, or its network, once it was built, too large for the shares that it had, but not for
        more of them."""
        if trial.stop_reason == UnfitNode.reason:
            return True
        if trial.stop_reason != "infeasible" or "memory" not in trial.facts:
            return False
        self._memory.restore(trial.record())
        params, most = trial.suggestion.params, self.most_shares
        fits = self._memory.refusal(params, most) is None
        return fits and self._memory.shares(params, most) > trial.shares

    def _has_trained(self, suggestion: Suggestion) -> bool:
        """Whether it is known to fit: it left a checkpoint, or repeats a trial that has trained."""
        folder = self._run.trial_folder(suggestion.number)
        return suggestion.origin == "repeat" or (folder / checkpoint.FILE).exists()
