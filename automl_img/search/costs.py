"""What trials cost on this machine: a few configurations are measured, the others told from them.

Configurations are grouped by backbone and by what of it learns. In a group the seconds an image
takes are told from the multiplications that it needs, between the measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from automl_img.errors import OutOfMemory, TrialFailed
from automl_img.search.rungs import ladder_of
from automl_img.training.costs import StepCost, Work

# One configuration is measured for each such factor between the cheapest and the dearest.
_FACTOR = 4.0
_MOST_OF_A_GROUP = 5

Group = tuple[str, str]


@dataclass(frozen=True)
class PhaseCost:
    """What a phase of a trial takes, in seconds; see ``automl_img.training.costs.Work``.

    Attributes:
        work: what it asks.
        train: an epoch of training steps.
        validation: of the validation images.
        start: setting up its weights.
        graph: building and tracing its graph, where the worker does not hold it.
        view: computing the kept features of all training images once.
        view_of_validation: the same of the validation images.
        forward_graph: building and tracing what computes them.
    """

    work: Work
    train: float
    validation: float
    start: float
    graph: float
    view: float
    view_of_validation: float
    forward_graph: float

    @property
    def epoch(self) -> float:
        return self.train + self.validation


def group_of(work: Work) -> Group:
    """The backbone, and its ladder: "from scratch", "frozen" or "fine-tuned"."""
    return str(work.params["backbone"]), ladder_of(work.params)


def to_measure(works: Iterable[Work]) -> list[Work]:
    """Which configurations to measure, in this order: of each group the dearest, then of each the
    cheapest, then some between; so that those measured last tell least."""
    groups: dict[Group, list[Work]] = {}
    for work in works:
        groups.setdefault(group_of(work), []).append(work)
    chosen = [_spread(sorted(group, key=lambda work: work.step)) for group in groups.values()]
    longest = max(map(len, chosen), default=0)
    return [group[place] for place in range(longest) for group in chosen if place < len(group)]


def _spread(group: Sequence[Work]) -> list[Work]:
    """The dearest, the cheapest, and those whose costs lie evenly between."""
    low, high = group[0].step, group[-1].step
    steps = math.log(max(high, 1) / max(low, 1), _FACTOR)
    wanted = min(_MOST_OF_A_GROUP, 1 + math.ceil(steps)) if steps > 0.25 else 1
    aims = np.geomspace(max(high, 1), max(low, 1), wanted).tolist()
    aims = [aims[0], *aims[:0:-1]]
    found: list[Work] = []
    for aim in aims:
        nearest = min(group, key=lambda work: abs(math.log(max(work.step, 1) / aim)))
        if nearest not in found:
            found.append(nearest)
    return found


class Costs:
    """What was measured, and what follows from it.

    Attributes:
        measured: (work, cost), in the order of measuring.
        failed: (work, error) of configurations that cannot be trained here.
    """

    def __init__(self, train: int, validation: int) -> None:
        """
        Args:
            train, validation: how many images there are, at least 1 each.
        """
        self._train, self._validation = train, validation
        self.measured: list[tuple[Work, StepCost]] = []
        self.failed: list[tuple[Work, TrialFailed]] = []

    def was_measured(self, group: Group) -> bool:
        return any(group_of(work) == group for work, _ in self.measured)

    def failure(self, work: Work) -> str | None:
        """Why the configuration does not train here, else None: for want of memory where it failed
        itself or a cheaper one of its group did, with no larger batch; else where any of its group
        failed."""
        for other, error in self.failed:
            no_cheaper = work.step >= other.step and _batch(work) >= _batch(other)
            for_all = no_cheaper or not isinstance(error, OutOfMemory)
            if for_all and group_of(other) == group_of(work):
                return str(error)
        return None

    def of(self, work: Work, train: int | None = None, validation: int | None = None) -> PhaseCost:
        """What a phase takes.

        Args:
            train, validation: how many images; None takes all.

        Raises:
            ValueError: nothing was measured.
        """
        train = self._train if train is None else train
        validation = self._validation if validation is None else validation
        size = min(_batch(work), train)
        image = self._rate(work, lambda w: w.step, lambda c: c.image_seconds)
        fixed = self._value(work, lambda c: c.fixed_seconds)
        look = self._rate(
            work, lambda w: w.validation, lambda c: c.validation_seconds / c.validation_batch
        )
        forward = self._rate(work, lambda w: w.frozen, lambda c: c.forward_seconds)
        return PhaseCost(
            work=work,
            train=train // size * (fixed + size * image),
            validation=validation * look,
            start=self._value(work, lambda c: c.start_seconds),
            graph=self._value(work, lambda c: c.first_seconds),
            view=train * forward if work.kept else 0.0,
            view_of_validation=validation * forward if work.kept else 0.0,
            forward_graph=self._value(work, lambda c: c.forward_first_seconds)
            if work.kept
            else 0.0,
        )

    def _rate(
        self, work: Work, amount: Callable[[Work], float], seconds: Callable[[StepCost], float]
    ) -> float:
        """Seconds for ``amount`` of the work, by the seconds of one unit near it."""
        own = amount(work)
        near = [(amount(w), seconds(c)) for w, c in self._near(work) if amount(w) > 0]
        if not own or not near:
            return 0.0
        rates = [(each, taken / each) for each, taken in near]
        return own * _between(own, rates)

    def _value(self, work: Work, seconds: Callable[[StepCost], float]) -> float:
        return _between(work.step, [(w.step, seconds(c)) for w, c in self._near(work)])

    def _near(self, work: Work) -> list[tuple[Work, StepCost]]:
        """What was measured of the group; else of others whose same part learns; else all.

        Raises:
            ValueError: nothing was measured.
        """
        if not self.measured:
            raise ValueError("at least one configuration must have been measured")
        backbone, ladder = group_of(work)
        alike = [pair for pair in self.measured if group_of(pair[0])[1] == ladder]
        own = [pair for pair in alike if group_of(pair[0])[0] == backbone]
        same = [pair for pair in own if pair[0].kept == work.kept]
        return same or own or alike or self.measured


def _between(at: float, points: Sequence[tuple[float, float]]) -> float:
    """The value at ``at`` on straight lines through ``points`` over a logarithmic axis; beyond the
    ends as at the ends."""
    ordered = sorted(points)
    x = np.log([max(place, 1.0) for place, _ in ordered])
    return float(np.interp(math.log(max(at, 1.0)), x, [value for _, value in ordered]))


def _batch(work: Work) -> int:
    return int(work.params["batch_size"])
