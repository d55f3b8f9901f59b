"""When a search has found what it will find."""

from __future__ import annotations

from automl_img.search.rungs import ladder_of
from automl_img.trials import TrialRecord, TrialState, reached

# Of the budget, in which nothing better was found.
SHARE = 1 / 3


class Staleness:
    """Whether the last third of the budget brought nothing, and the rungs agree.

    A search is stale when no trial that ended in the last third of the whole budget was the best so
    far, or ahead of the best one of its kind after as many epochs at any rung: so none looks like a
    better one that was stopped too early. Probes and failures say nothing.
    """

    def __init__(self, rungs: list[int]) -> None:
        """
        Args:
            rungs: epochs at which trials are compared.
        """
        self._rungs = rungs
        self._best: TrialRecord | None = None
        self._promised = 0.0

    def ended(self, record: TrialRecord, spent: float) -> None:
        """Take in a trial.

        Args:
            spent: of the budget so far, in [0, 1].
        """
        usable = record.best is not None and record.state is not TrialState.FAILED
        if not usable or record.origin in ("probe", "repeat"):
            return
        if self._best is None or reached(record.epochs) > reached(self._best.epochs):
            self._best, self._promised = record, spent
        elif self._ahead(record, self._best):
            self._promised = spent

    def why(self, spent: float) -> str | None:
        """Why the search may end, in a sentence; None where it may not."""
        if self._best is None or spent - self._promised < SHARE:
            return None
        return (
            f"a third of the budget brought nothing better than trial {self._best.number} "
            f"({reached(self._best.epochs):.3f}), nor a trial that was ahead of it on the way; the "
            "search ends here"
        )

    def _ahead(self, record: TrialRecord, best: TrialRecord) -> bool:
        if ladder_of(record.params) != ladder_of(best.params):
            return False
        shared = min(len(record.epochs), len(best.epochs))
        common = [rung for rung in self._rungs if rung <= shared]
        return any(reached(record.epochs, rung) > reached(best.epochs, rung) for rung in common)
