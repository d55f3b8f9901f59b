"""The parts of a search, one after the other, as the conductor sees them."""

from __future__ import annotations

from typing import Protocol

from automl_img.search.sampler import Suggestion
from automl_img.search.spending import Part
from automl_img.trials import TrialRecord, TrialSpec


class Stage(Protocol):
    """Hands out trials until it is over; the next stage begins when all of them have ended.

    Attributes:
        part: of the budget.
        compared: whether rungs may stop its trials.
        kept: whether its trials are trials of the run, to be kept and counted.
        alone: whether its trials come one at a time, and each has the whole machine.
    """

    @property
    def part(self) -> Part: ...

    @property
    def compared(self) -> bool: ...

    @property
    def kept(self) -> bool: ...

    @property
    def alone(self) -> bool: ...

    @property
    def order_is_free(self) -> bool:
        """Whether the next trial follows from no result, so that it may be asked for ahead."""

    @property
    def over(self) -> bool:
        """Whether it hands out no trial any more."""

    @property
    def given_up(self) -> bool:
        """Whether it is over before its time, so that what waits does not start either."""

    def ask(self) -> Suggestion | None:
        """The next trial; None where there is none before another one ends, or none at all."""

    def spec(self, suggestion: Suggestion) -> TrialSpec:
        """What a worker is told of it."""

    def ended(self, record: TrialRecord) -> None:
        """Take in how one of its trials ended."""
