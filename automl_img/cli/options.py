"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[
    str | None, typer.Argument(help="A run's folder or name; the newest one if left out.")
]
Out = Annotated[Path, typer.Option(help="The folder of all run folders.")]
RUNS = Path("runs")


def pairs(typed: list[str], option: str) -> dict[str, str]:
    """``["a=1", "b=2"]`` as a dictionary.

    Raises:
        typer.BadParameter: an item has no ``=``.
    """
    found = {}
    for item in typed:
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise typer.BadParameter(f"{option} must be KEY=VALUE, but got {item!r}")
        found[key.strip()] = value.strip()
    return found
