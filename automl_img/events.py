"""What a running search tells whoever listens; the command line turns it into a panel or lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from automl_img.budget import Budget
from automl_img.trials import EpochResult, Params, TrialRecord


@dataclass(frozen=True)
class Phase:
    """A step of the search begins; ``text`` says what is being done, or waited for."""

    text: str


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` items of the present phase."""

    done: int
    total: int


@dataclass(frozen=True)
class Notice:
    """Something that the user should know, in one sentence."""

    text: str


@dataclass(frozen=True)
class SearchStarted:
    """Trials are about to start.

    Attributes:
        records: of the trials that have ended in earlier sessions of the run.
        seconds: that those sessions took.
    """

    budget: Budget
    max_epochs: int
    workers: int
    records: tuple[TrialRecord, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class TrialStarted:
    """A trial was handed to a worker."""

    number: int
    params: Params


@dataclass(frozen=True)
class EpochEnded:
    """A trial, or the retraining (``number`` None), finished an epoch."""

    number: int | None
    result: EpochResult


@dataclass(frozen=True)
class TrialEnded:
    """A trial is over, and its record is on disk."""

    record: TrialRecord


Event = Phase | Progress | Notice | SearchStarted | TrialStarted | EpochEnded | TrialEnded
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener for those who do not listen."""
