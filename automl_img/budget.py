"""What a search may spend: trials, epochs or time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Unit = Literal["trials", "epochs", "seconds"]
_COUNT = re.compile(r"(\d+)\s*(trials?|epochs?)?", re.IGNORECASE)
_TIME = re.compile(
    r"(?:(\d+(?:\.\d+)?)\s*h(?:ours?)?)?\s*"
    r"(?:(\d+(?:\.\d+)?)\s*m(?:in(?:utes?)?)?)?\s*"
    r"(?:(\d+(?:\.\d+)?)\s*s(?:ec(?:onds?)?)?)?",
    re.IGNORECASE,
)
_RULE = "must be trials (50), a time (2h, 30m, 1h30m, 90s) or epochs (500epochs), above 0"


@dataclass(frozen=True)
class Budget:
    """An amount of one unit.

    Attributes:
        amount: above 0; whole where it counts trials or epochs.
        unit: "trials" to start, "epochs" that all trials train together, or "seconds" of wall time
            from the beginning of the search to its report.
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget that ``text`` names: ``50``, ``2h``, ``1h30m``, ``90s`` or ``500epochs``.

        Raises:
            ValueError: it names none.
        """
        if found := _COUNT.fullmatch(text.strip()):
            unit: Unit = "epochs" if (found[2] or "").lower().startswith("e") else "trials"
            amount = float(found[1])
        elif found := _TIME.fullmatch(text.strip()):
            hours, minutes, seconds = (float(part or 0) for part in found.groups())
            unit, amount = "seconds", 3600 * hours + 60 * minutes + seconds
        else:
            raise ValueError(_RULE)
        if not amount:
            raise ValueError(_RULE)
        return cls(amount, unit)

    @property
    def trials(self) -> int | None:
        """The trials to start, where it counts those."""
        return int(self.amount) if self.unit == "trials" else None

    @property
    def epochs(self) -> int | None:
        """The epochs to train, where it counts those."""
        return int(self.amount) if self.unit == "epochs" else None

    @property
    def seconds(self) -> float | None:
        """Wall time, where it counts that."""
        return self.amount if self.unit == "seconds" else None

    @property
    def typed(self) -> str:
        """As ``parse`` reads it."""
        amount = int(self.amount) if self.amount == int(self.amount) else self.amount
        return f"{amount}{'' if self.unit == 'trials' else self.unit}"

    def __str__(self) -> str:
        if self.unit != "seconds":
            count = int(self.amount)
            return f"{count:,} {self.unit if count != 1 else self.unit[:-1]}"
        hours, rest = divmod(self.amount, 3600)
        minutes, seconds = divmod(rest, 60)
        parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
        return " ".join(f"{value:g} {unit}" for value, unit in parts if value)
