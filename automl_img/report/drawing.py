"""Colours, labels and parts that the figures share."""

from __future__ import annotations

import html
import math
from typing import Any

# At least 3.3:1 on white and on #0f1419, and apart under every colour-vision deficiency.
BLUE = "#007ab8"
ORANGE = "#f54100"
VIOLET = "#9214ff"
ROSE = "#c76b6b"
GREY = "#7a7f88"

DASH = "\N{EN DASH}"


def label(text: object, most: int = 28) -> str:
    """``text`` for a label of Plotly, which reads HTML tags and ``%{...}`` templates in it."""
    line = " ".join(str(text).split())
    if len(line) > most:
        line = line[: most - 1] + "…"
    return html.escape(line, quote=False).replace("%{", "%&#123;")


def number(value: float | None, digits: int = 3) -> str:
    """A score with ``digits`` decimals; an en dash for nothing."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}"


def share(value: float | None) -> str:
    """A share with 3 decimals, where only what is 1 is written as 1.000."""
    return ">0.999" if value is not None and 0.9995 <= value < 1 else number(value)


def significant(value: Any) -> str:
    """A hyperparameter as a person would write it: 0.00123, 64, adam."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return DASH
        return f"{value:.3g}"
    return str(value)


def interval(bounds: Any, digits: int = 3) -> str:
    """Low and high with an en dash between, or nothing."""
    if not bounds or any(bound is None for bound in bounds):
        return ""
    return f"{bounds[0]:.{digits}f}{DASH}{bounds[1]:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Seconds as ``42 s``, ``3 min 20 s`` or ``2 h 5 min``; an en dash for nothing."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(value: float) -> str:
    """``0.349`` as ``35 %``, which no line break parts."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 trial``, ``1,234 trials``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def sentence_case(text: str) -> str:
    """With its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title that never falls over its labels."""
    return {"title": {"text": title, "standoff": 10}, "automargin": True, **more}


def line(
    x: list[Any], y: list[Any], name: str, colour: str, *, dash: str = "solid", **more: Any
) -> dict[str, Any]:
    """A line; ``dash`` or a marker is its second channel beside the colour."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "name": name,
        "line": {"color": colour, "dash": dash, "width": 2},
        **more,
    }
