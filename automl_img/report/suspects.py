"""``label_errors.json`` as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SuspectedLabel:
    """An image whose label is probably wrong; classes as in ``Data.class_names``."""

    part: str
    name: str
    label: int
    more_probable: int
    probability: float


@dataclass(frozen=True)
class LabelErrors:
    """``label_errors.json``; see ``automl_img.evaluation.label_errors``."""

    images: int
    accuracy: float | None
    suspected: int | None
    shown: tuple[SuspectedLabel, ...]

    @classmethod
    def read(cls, value: dict[str, Any]) -> LabelErrors:
        shown = (
            SuspectedLabel(
                str(item["part"]),
                str(item["name"]),
                int(item["label"]),
                int(item["more_probable"]),
                float(item["probability"]),
            )
            for item in value["shown"]
        )
        return cls(value["images"], value.get("accuracy"), value.get("suspected"), tuple(shown))
