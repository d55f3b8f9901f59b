"""When a search has found what it will find."""

from __future__ import annotations

from automl_img.search.rungs import ladder_of
from automl_img.trials import TrialRecord, TrialState, reached

# Of the budget, in which nothing better was found.
SHARE = 1 / 3


class Staleness:
    """Whether the last third of the budget brought nothing, and the rungs agree.

    A search is stale when no trial that ended in the last third of the whole budget was the best of
    its kind so far (from scratch, frozen, fine-tuned), or ahead of that one after as many epochs at
    any rung: so none looks like a better one that was stopped too early. The first one of a kind
    counts only where it is the best of all. Probes and failures say nothing.
    """

    def __init__(self, rungs: list[int]) -> None:
        """
        Args:
            rungs: epochs at which trials are compared.
        """
        self._rungs = rungs
        # The best trial of each kind.
        self._best: dict[str, TrialRecord] = {}
        self._promised = 0.0

    def ended(self, record: TrialRecord, spent: float) -> None:
        """Take in a trial.

        Args:
            spent: of the budget so far, in [0, 1].
        """
        usable = record.best is not None and record.state is not TrialState.FAILED
        if not usable or record.origin in ("probe", "repeat"):
            return
        accuracy = reached(record.epochs)
        kind, all_of_them = ladder_of(record.params), self._best.values()
        best = self._best.get(kind)
        leads = accuracy > max((reached(each.epochs) for each in all_of_them), default=-1.0)
        if leads or (best is not None and self._ahead(record, best)):
            self._promised = spent
        if best is None or accuracy > reached(best.epochs):
            self._best[kind] = record

    def why(self, spent: float) -> str | None:
        """Why the search may end, in a sentence; None where it may not."""
        if not self._best or spent - self._promised < SHARE:
            return None
        best = max(self._best.values(), key=lambda record: reached(record.epochs))
        return (
            f"a third of the budget brought nothing better than trial {best.number} "
            f"({reached(best.epochs):.3f}), nor a trial that was ahead of the best of its kind on "
            "the way; the search ends here"
        )

    def _ahead(self, record: TrialRecord, best: TrialRecord) -> bool:
        """Whether ``record`` is better, or was after as many epochs at any rung."""
        shared = min(len(record.epochs), len(best.epochs))
        common = [rung for rung in self._rungs if rung <= shared]
        return reached(record.epochs) > reached(best.epochs) or any(
            reached(record.epochs, rung) > reached(best.epochs, rung) for rung in common
        )
