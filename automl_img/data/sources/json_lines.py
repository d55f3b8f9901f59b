"""A file of JSON lines: one object an image, with a path, a label and, if there, a split.

The keys are the columns of a table, see ``table``; what an object lacks is empty, and so is what is
an object. Labels that are lists are several classes each.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_img.data.listing import Columns, Listing, is_hidden, typed_path
from automl_img.data.rows import Rows
from automl_img.data.tables import (
    SEVERAL,
    as_text,
    classes_said,
    find_columns,
    find_image,
    find_label_columns,
)
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
    return list_lines(typed_path(data).absolute(), columns, "json_lines", cache, listener)


def list_lines(
    table: Path,
    columns: Columns,
    kind: str,
    cache: Path,
    listener: Listener,
    folder: str | None = None,
) -> Listing:
    """The images that ``table`` names, relative to its folder or to the URL ``folder``."""
    # Of columns of classes any may stand in one object alone.
    first = itertools.islice(_objects(table), None if columns.labels else _HEADER_LINES)
    header = list(dict.fromkeys(key for each in first for key in each))
    at = find_columns(header, columns, table)
    names = {what: None if place is None else header[place] for what, place in at.items()}
    classes = find_label_columns(header, columns, table)
    separator = columns.separator
    if classes or (separator is None and _are_lists(table, names["label"])):
        separator = SEVERAL
    rows = Rows(table, names["split"], names["group"] is not None, separator, classes)
    for each in _objects(table):
        typed, label, *others = (as_text(each.get(name)) if name else "" for name in names.values())
        if classes:
            label = classes_said(classes, (as_text(each.get(name)) for name in classes), table)
        rows.add(typed, find_image(folder or table.parent, typed), label, *others)
    return rows.listing(table.stem, kind, cache, listener)


def _are_lists(table: Path, label: str | None) -> bool:
    """Whether labels are lists, by the first objects."""
    first = itertools.islice(_objects(table), _HEADER_LINES)
    return label is not None and any(isinstance(each.get(label), list) for each in first)


def _objects(table: Path) -> Iterator[dict[str, Any]]:
    """One after the other: other keys than ours may be large."""
    try:
        with table.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _object(line, number, table)
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{table} must be JSON lines in UTF-8, but {error}; save it so") from None


def _object(line: str, number: int, table: Path) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(
            f"each line of {table.name} must be a JSON object, but line {number} is none; mend it"
        )
    return value
