"""When to stop a trial: asynchronous successive halving (https://arxiv.org/abs/1810.05934).

Trials are compared with their own kind: networks from scratch, frozen and fine-tuned ones learn at
different rates, and a slow starter is not a bad one. So each kind has a ladder of its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from automl_img.models.weights import find_variant
from automl_img.objectives import Objective, dominates
from automl_img.trials import Params, TrialRecord

REDUCTION_FACTOR = 3
# With fewer values at a rung the comparison is chance.
_FEWEST_VALUES = 3


def ladder_of(params: Params) -> str:
    """The kind of a trial: "from scratch", "frozen" (all of its backbone) or "fine-tuned"."""
    name = str(params.get("backbone"))
    variant = find_variant(name)
    if variant is None or params.get("weights", "none") == "none":
        return "from scratch"
    whole = params.get(f"{name}.frozen_layers") == variant.cuts[-1]
    return "frozen" if whole else "fine-tuned"


def warmup_of(params: Params) -> int:
    """Epochs in which a trial cannot be compared yet: a rising rate, or the head alone."""
    names = ("optimizer.warmup_epochs", "fine_tune.head_epochs")
    return sum(int(params.get(name, 0)) for name in names)


class Rungs:
    """Which trials may go on beyond which epoch.

    At each rung a trial goes on if its best value so far is among the best third of those that
    reached the rung on its ladder. One that does not is paused: where ``promotion`` is on, it goes
    on later if it has come into the best third meanwhile, since weak trials came after it.
    Deviations from the paper: the best value so far counts, not the last one; nobody is judged on
    fewer than three values; one bracket.

    Frozen networks are compared from the second rung on: their epochs on kept features cost so
    little that at the first one the start of a trial would be most of what it took. A trial of the
    other kinds has trained for more than five times its fixed cost there (docs/benchmarks.md).

    Where a search has several objectives, a trial is ranked by how many others beat it in all of
    them (Fonseca and Fleming 1993), so that one on the front always goes on; the idea of ranking
    rungs by dominance is of https://arxiv.org/abs/2106.12639.

    Attributes:
        epochs: the rungs, ascending, all below ``max_epochs``.
        promotion: whether trials that stopped may go on.
    """

    def __init__(
        self,
        max_epochs: int,
        grace: int | None = None,
        promotion: bool = False,
        objectives: Sequence[Objective] = (),
    ) -> None:
        """
        Args:
            grace: epochs at the first rung; None takes a ninth of ``max_epochs``, at least 2.
            objectives: those of the search, the accuracy among them or not.
        """
        rung = max(2, max_epochs // REDUCTION_FACTOR**2) if grace is None else grace
        self.epochs: list[int] = []
        while rung < max_epochs:
            self.epochs.append(rung)
            rung *= REDUCTION_FACTOR
        self.promotion = promotion
        self._costs = [objective.fact for objective in objectives if objective.fact]
        # What each trial reached, as costs: the lower the better.
        self._values: dict[tuple[str, int], dict[int, tuple[float, ...]]] = defaultdict(dict)
        # Where the accuracy alone counts, the same in order: of thousands of trials each is ranked.
        self._in_order: dict[tuple[str, int], list[float]] = defaultdict(list)
        self._paused: dict[int, tuple[str, int]] = {}

    def rebuild(self, records: Iterable[TrialRecord]) -> None:
        """Take in what the trials of an earlier session reached."""
        for record in records:
            if record.origin not in ("probe", "repeat"):
                values = [result.objective or 0.0 for result in record.epochs]
                self.take_in(record.number, record.params, values, record.serving)

    def take_in(
        self,
        number: int,
        params: Params,
        values: Sequence[float],
        serving: Mapping[str, float] | None = None,
    ) -> None:
        """Take in what another trial reached, of an earlier session or of another driver.

        Args:
            number: told from all other trials by this.
            values: of the objective, after each epoch.
            serving: see ``goes_on``.
        """
        ladder, warmup = ladder_of(params), warmup_of(params)
        for rung in self.epochs:
            if warmup < rung <= len(values) and not self._too_early(ladder, rung):
                self._keep(number, ladder, rung, self._as_costs(max(values[:rung]), serving))

    def goes_on(
        self,
        number: int,
        epoch: int,
        best: float,
        ladder: str = "",
        warmup: int = 0,
        serving: Mapping[str, float] | None = None,
    ) -> bool:
        """Whether trial ``number`` may train beyond ``epoch``, where its best value is ``best``.

        Args:
            ladder: the kind of trials that it is compared with.
            warmup: epochs in which the trial is not compared.
            serving: what its exported model costs; see ``automl_img.trials.TrialRecord``.
        """
        if epoch not in self.epochs or epoch <= warmup or self._too_early(ladder, epoch):
            return True
        self._keep(number, ladder, epoch, self._as_costs(best, serving))
        if len(self._values[ladder, epoch]) < _FEWEST_VALUES or self._among_the_best(
            number, ladder, epoch
        ):
            return True
        if self.promotion:
            self._paused[number] = ladder, epoch
        return False

    def promote(self) -> int | None:
        """A trial that was stopped and may go on after all; None where there is none.

        The highest rung comes first, and on it the best trial; each is named once.
        """
        candidates = []
        for number, (ladder, rung) in self._paused.items():
            if self._among_the_best(number, ladder, rung):
                lowest = self._values[ladder, rung][number][0]
                candidates.append((rung, -lowest, -number))
        if not candidates:
            return None
        number = -max(candidates)[2]
        del self._paused[number]
        return number

    def _keep(self, number: int, ladder: str, rung: int, costs: tuple[float, ...]) -> None:
        values, order = self._values[ladder, rung], self._in_order[ladder, rung]
        if number in values:
            order.remove(values[number][0])
        values[number] = costs
        insort(order, costs[0])

    def _too_early(self, ladder: str, epoch: int) -> bool:
        return ladder == "frozen" and len(self.epochs) > 1 and epoch == self.epochs[0]

    def _as_costs(self, best: float, serving: Mapping[str, float] | None) -> tuple[float, ...]:
        return -best, *((serving or {}).get(fact, math.inf) for fact in self._costs)

    def _among_the_best(self, number: int, ladder: str, rung: int) -> bool:
        """Whether fewer than a third of those that reached the rung are better."""
        values = self._values[ladder, rung]
        own = values[number]
        better = bisect_left(self._in_order[ladder, rung], own[0])
        if self._costs:
            better = sum(dominates(other, own) for other in values.values())
        return better < len(values) / REDUCTION_FACTOR
