"""A file of JSON lines: one object an image, with a path, a label and, if there, a split.

The keys are the columns of a table, see ``table``; what an object lacks is empty, and so is what is
a list or an object.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from automl_img.data.listing import Columns, Listing, is_hidden, typed_path
from automl_img.data.tables import Rows, find_columns, find_image
from automl_img.errors import DataError
from automl_img.events import Listener

WHAT = "a file of JSON lines (.jsonl, .ndjson) with path and label"
SUFFIXES = (".jsonl", ".ndjson")
# Of a file whose first objects lack a key that later ones have.
_HEADER_LINES = 1000


def accepts(data: str) -> bool:
    """Whether ``data`` is a file named like JSON lines."""
    path = typed_path(data)
    named = path.name.lower().endswith(SUFFIXES) and not is_hidden(path.name)
    return named and os.path.isfile(path)


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images that the file ``data`` names.

    Raises:
        DataError: a line is no JSON object, or has a split that is not known.
        SettingsError: a column is missing.
    """
    table = typed_path(data).absolute()
    objects = _objects(table)
    header = list(dict.fromkeys(key for each in objects[:_HEADER_LINES] for key in each))
    at = find_columns(header, columns, table)
    names = {what: None if place is None else header[place] for what, place in at.items()}
    rows = Rows(table, names["split"], names["group"] is not None)
    for each in objects:
        typed, *others = (_text(each, name) for name in names.values())
        rows.add(typed, find_image(table.parent, typed), *others)
    return rows.listing(table.stem, "json_lines")


def _objects(table: Path) -> list[dict[str, Any]]:
    found = []
    try:
        with table.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    found.append(_object(line, number, table))
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{table} must be JSON lines in UTF-8, but {error}; save it so") from None
    return found


def _object(line: str, number: int, table: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(
            f"each line of {table.name} must be a JSON object, but line {number} is none; mend it"
        )
    return value


def _text(row: dict[str, Any], name: str | None) -> str:
    value = row.get(name) if name is not None else None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
