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

    def refusal(self, suggestion: Suggestion, begun: Running | None) -> str | None:
        """Why a trial need not start, in a sentence; None where it may.

        Args:
            begun: the trial, where it was cut off after it had started.
        """
        if self._fits(suggestion, begun, self.most_shares):
            return None
        return self._memory.refusal(suggestion.params, self.most_shares)

    def sized(
        self, spec: TrialSpec, suggestion: Suggestion, begun: Running | None, bounded: bool
    ) -> TrialSpec:
        """``spec`` with the shares that it needs.

        Args:
            begun: the trial, where it was cut off after it had started.
            bounded: whether it is not to be trained where it turns out to need more.
        """
        shares = self._memory.shares(spec.params, self.most_shares)
        fits = not bounded or self._fits(suggestion, begun, shares)
        bound = 0 if fits else self._memory.allowance(spec.params, shares)
        return dataclasses.replace(spec, shares=shares, memory_bytes=bound)

    def goes_elsewhere(self, trial: Running) -> bool:
        """Whether a trial that has ended is to be tried in another place: its node was not fit for
        it, or its network, once it was built, too large for the shares that it had, but not for
        more of them."""
        if trial.stop_reason == UnfitNode.reason:
            return True
        if not trial.facts.pop("too_large", False):
            return False
        self._memory.restore(trial.record())
        params, most = trial.suggestion.params, self.most_shares
        fits = self._memory.refusal(params, most) is None
        return fits and self._memory.shares(params, most) > trial.shares

    def _fits(self, suggestion: Suggestion, begun: Running | None, shares: int) -> bool:
        """Whether a trial is known to fit into so many shares, as it has trained with no more; or
        with some, which are not known, and has all that there are."""
        if begun is not None:
            return bool(begun.epochs) and begun.shares <= shares
        folder = self._run.trial_folder(suggestion.number)
        trained = suggestion.origin == "repeat" or (folder / checkpoint.FILE).exists()
        return trained and shares == self.most_shares
