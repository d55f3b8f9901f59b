"""What is compared: how a search chooses, stops and resumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from automl_img.search.race import Race

_DROPPED_EVERY = 20


@dataclass(frozen=True)
class Strategy:
    """A way to search.

    Attributes:
        sampler: "tpe" or "random", as our sampler builds them; "pool" takes recorded trials in a
            random order, each once before any comes again, and is "random" where none are recorded.
        start: whether the start set is tried first.
        race: between the families, each with a study of its own: "test" is ``Race`` as it is, "test
            of whole" does not tell it of trials that a rung stopped, "equal" never drops a family,
            "every 20" drops the one with the worst best score after every 20 trials; "none" has one
            study for all; "shipped" is "test" or "none" by how many families there are, as our
            sampler has it; "in turn" has one study, the first two tries of each family first.
        stopping: whether rungs stop trials; their early stopping they have anyway.
        grace: epochs at the first rung; None as ``Rungs`` has it.
        ladders: who is compared at a rung: all trials, those of a kind, or of a kind and backbone.
        promotion: whether stopped trials may go on.
    """

    sampler: Literal["tpe", "random", "pool"] = "pool"
    start: bool = False
    race: Literal["none", "in turn", "equal", "shipped", "test", "test of whole", "every 20"] = (
        "none"
    )
    stopping: bool = True
    grace: int | None = None
    ladders: Literal["one", "kind", "backbone"] = "kind"
    promotion: bool = False


class Racing(Protocol):
    """What ``automl_img.search.race.Race`` is to a search."""

    def next(self) -> str | None: ...

    def tried(self, family: str) -> None: ...

    def ended(self, family: str, score: float) -> None: ...


class EqualTries(Race):
    """Equal tries for all families to the end."""

    def ended(self, family: str, score: float) -> None:
        self._scores[family].append(score)


class WorstDropped(EqualTries):
    """The family with the worst best score goes after every 20 trials, until one is left."""

    def ended(self, family: str, score: float) -> None:
        super().ended(family, score)
        if sum(map(len, self._scores.values())) % _DROPPED_EVERY:
            return
        left = [name for name in self._scores if name not in self.dropped]
        if len(left) > 1:
            worst = min(left, key=lambda name: max(self._scores[name], default=0.0))
            self.dropped[worst] = "the worst of the families that were left"


def racing(kind: str, families: Sequence[str]) -> Racing:
    """The race of the kind that ``Strategy.race`` names."""
    kinds = {"equal": EqualTries, "every 20": WorstDropped}
    return kinds.get(kind, Race)(families)
