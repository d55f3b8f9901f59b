"""A CSV file with a column of image paths, one of labels and, if there, one of splits.

Paths are relative to the folder of the table. The delimiter is a comma, semicolon, tab or bar.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from automl_img.data.listing import Columns, Listing, typed_path
from automl_img.data.rows import Rows
from automl_img.data.sources.folder import is_table_name
from automl_img.data.tables import (
    SEVERAL,
    classes_said,
    find_columns,
    find_image,
    find_label_columns,
)
from automl_img.errors import DataError
from automl_img.events import Listener

WHAT = "a CSV file with columns for path and label"
DELIMITERS = ",;\t|"


def accepts(data: str) -> bool:
    """Whether ``data`` is a file named like a table."""
    path = typed_path(data)
    return is_table_name(path.name) and os.path.isfile(path)


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images that the table ``data`` names.

    Raises:
        DataError: it is no table, or has a split that is not known.
        SettingsError: a column is missing.
    """
    path = typed_path(data).absolute()
    return list_table(path, columns, "table", cache, listener)


def list_table(
    table: Path,
    columns: Columns,
    kind: str,
    cache: Path,
    listener: Listener,
    folder: Path | str | None = None,
    within: Path | None = None,
) -> Listing:
    """The images that ``table`` names.

    Args:
        folder: the folder or URL that paths are relative to; None for that of the table.
        within: the only folder whose images count.
    """
    lines = _lines(table)
    header = [cell.strip() for cell in lines[0]] if lines else []
    at = find_columns(header, columns, table)
    classes = find_label_columns(header, columns, table)
    places = [header.index(name) for name in classes]
    split_column = None if at["split"] is None else header[at["split"]]
    separator = SEVERAL if classes else columns.separator
    rows = Rows(table, split_column, at["group"] is not None, separator, classes)
    for line in lines[1:]:
        if any(cell.strip() for cell in line):
            typed, label, *others = (_cell(line, at[what]) for what in at)
            if classes:
                label = classes_said(classes, (_cell(line, place) for place in places), table)
            image = find_image(folder or table.parent, typed, within)
            rows.add(typed, image, label, *others)
    return rows.listing(table.stem, kind, cache, listener)


def header_of(table: Path) -> list[str]:
    """The names of the columns of ``table``; empty where it cannot be read."""
    try:
        lines = _lines(table, 1)
    except DataError:
        return []
    return [cell.strip() for cell in lines[0]] if lines else []


def _lines(table: Path, most: int | None = None) -> list[list[str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=_delimiter(first))
            return [row for _, row in zip(range(most or 2**62), reader, strict=False)]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise DataError(f"{table} must be a CSV file in UTF-8, but {error}; save it so") from None


def _delimiter(first: str) -> str:
    """The one that cuts the first line into most columns, quotes respected."""
    return max(DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))


def _cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""
