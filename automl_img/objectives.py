"""What a model should be beside accurate: limits that it must keep, and aims that compete.

Measured facts of a trial are in ``TrialRecord.serving``: "latency_ms", "size_bytes" and
"parameters", all of the model as it would be exported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from automl_img.metrics import NAMES

if TYPE_CHECKING:
    from automl_img.trials import TrialRecord

_NUMBER = r"\s*([0-9]+(?:\.[0-9]+)?)\s*"
_MILLISECONDS = {"ms": 1.0, "s": 1000.0}
_BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9}
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6}
_OPTIONS = {"latency_ms": "latency", "size_bytes": "size", "parameters": "params"}


@dataclass(frozen=True)
class Limits:
    """The most that the exported model may need; None is no limit.

    Attributes:
        latency_ms: of a prediction for one image, in milliseconds.
        size_bytes: of the ``.keras`` file.
        parameters: of the whole classifier.
    """

    latency_ms: float | None = None
    size_bytes: float | None = None
    parameters: float | None = None

    @classmethod
    def parse(
        cls, latency: str | None = None, size: str | None = None, params: str | None = None
    ) -> Limits:
        """Limits as typed: ``20ms`` or ``0.5s``; ``10MB`` or ``500kB``, in decimal units; ``1M``.

        Raises:
            ValueError: one of them is no such amount, or not above 0.
        """
        return cls(
            latency_ms=_amount(latency, _MILLISECONDS, "a time such as 20ms or 0.5s"),
            size_bytes=_amount(size, _BYTES, "a size such as 10MB or 500kB"),
            parameters=_amount(params, _COUNTS, "a count such as 1M, 500k or 250000"),
        )

    def __bool__(self) -> bool:
        return bool(self.bounded)

    def values(self) -> dict[str, float | None]:
        """Each limit by the name of the measured fact that it bounds."""
        return {
            "latency_ms": self.latency_ms,
            "size_bytes": self.size_bytes,
            "parameters": self.parameters,
        }

    @property
    def bounded(self) -> dict[str, float]:
        """The limits that were set, by the name of the measured fact."""
        return {name: limit for name, limit in self.values().items() if limit is not None}

    def violations(self, measured: Mapping[str, float]) -> dict[str, float]:
        """By how much each limit is broken, as a part of it: above 0 where it is, and at most 0
        where it is kept, as Optuna's constraints want it.

        Args:
            measured: facts by name; limits on facts that are missing are left out.
        """
        return {
            name: measured[name] / limit - 1
            for name, limit in self.bounded.items()
            if name in measured
        }

    def infeasible(self, measured: Mapping[str, float]) -> str | None:
        """Which limits are broken, in a sentence; None where all are kept."""
        broken = [
            f"{described(name, measured[name])}, more than --max-{_OPTIONS[name]} "
            f"{described(name, self.bounded[name])}"
            for name, excess in self.violations(measured).items()
            if excess > 0
        ]
        return f"the exported model needs {' and '.join(broken)}" if broken else None


@dataclass(frozen=True)
class Objective:
    """One thing that a search aims at.

    Attributes:
        name: as typed.
        direction: which values are better.
        fact: the measured fact; empty for a score of the validation images.
    """

    name: str
    direction: Literal["maximize", "minimize"]
    fact: str = ""

    def value(self, record: TrialRecord) -> float | None:
        """What a trial reached; None where it was not measured."""
        if self.fact:
            return (record.serving or {}).get(self.fact)
        return record.best.objective if record.best is not None else None


OBJECTIVES = (
    # Their values are scores, of val_loss too; see ``automl_img.metrics.score``.
    *(Objective(name, "maximize") for name in NAMES),
    Objective("latency", "minimize", "latency_ms"),
    Objective("size", "minimize", "size_bytes"),
    Objective("params", "minimize", "parameters"),
)


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """The objectives that ``text`` names, as ``val_accuracy,latency``, in its order: a score of the
    validation images first.

    Raises:
        ValueError: a name is unknown or there twice, or not the first alone is a score.
    """
    known = {objective.name: objective for objective in OBJECTIVES}
    names = [name.strip() for name in text.split(",")]
    unknown = set(names) - set(known) or len(set(names)) < len(names)
    if unknown or [name for name in names if name in NAMES] != names[:1]:
        raise ValueError(
            f"must be one of {', '.join(NAMES)}, alone or followed by some of latency, size and "
            "params, as in val_accuracy,latency"
        )
    return tuple(known[name] for name in names)


def pareto_front(
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    limits: Limits | None = None,
) -> list[TrialRecord]:
    """The trials that no other beats: none is better in one objective and as good in all others.

    Trials without a value for an objective and those that break a limit are left out. Equals are
    all kept.

    Args:
        objectives: at least one.

    Returns:
        The best in the first objective first; among equals by the next objectives, then by number.
    """
    scored: list[tuple[tuple[float, ...], TrialRecord]] = []
    for record in records:
        values = [objective.value(record) for objective in objectives]
        if limits is not None and limits.infeasible(record.serving or {}) is not None:
            continue
        costs = [
            -value if objective.direction == "maximize" else value
            for objective, value in zip(objectives, values, strict=True)
            if value is not None
        ]
        if len(costs) == len(objectives):
            scored.append((tuple(costs), record))
    front = [
        (costs, record)
        for costs, record in scored
        if not any(dominates(other, costs) for other, _ in scored)
    ]
    return [record for _, record in sorted(front, key=lambda pair: (pair[0], pair[1].number))]


def to_measure(objectives: Sequence[Objective], limits: Limits) -> tuple[str, ...]:
    """The facts that must be measured of each model."""
    wanted = {objective.fact for objective in objectives} | limits.bounded.keys()
    return tuple(name for name in limits.values() if name in wanted)


def described(fact: str, value: float) -> str:
    """A measured fact as people say it: ``3.2 ms``, ``10.0 MB``, ``1,000,000 parameters``."""
    match fact:
        case "latency_ms":
            return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"
        case "size_bytes":
            return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
        case _:
            return f"{value:,.0f} parameters"


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether of two tuples of costs, as long as each other, ``one`` is lower somewhere and higher
    nowhere."""
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))


def _amount(text: str | None, units: Mapping[str, float], what: str) -> float | None:
    if text is None:
        return None
    found = re.fullmatch(f"{_NUMBER}([a-z]*)\\s*", text.strip().lower())
    value = float(found[1]) * units.get(found[2], 0.0) if found else 0.0
    if value <= 0:
        raise ValueError(f"must be {what}, above 0")
    return value
