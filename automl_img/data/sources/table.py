"""A CSV file with a column of image paths, one of labels and, if there, one of splits.

Paths are relative to the folder of the table. The delimiter is a comma, semicolon, tab or bar.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from automl_img.data.listing import (
    SPELLINGS,
    Columns,
    LeftOut,
    Listing,
    as_sentence,
    typed_path,
    valid_unicode,
)
from automl_img.data.sources.folder import is_table_name
from automl_img.errors import DataError, SettingsError, did_you_mean
from automl_img.events import Listener

WHAT = "a CSV file with columns for path and label"

USUAL = {
    "path": (
        *("path", "image_path", "img_path", "file_path", "filepath", "relative_path"),
        *("file", "file_name", "filename", "image_file", "image_name", "image", "img", "name"),
    ),
    "label": ("label", "class", "class_name", "category", "target", "labels", "y"),
    "split": ("split", "set", "subset", "partition"),
}
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
    return list_table(path, columns, path.stem, "table")


def list_table(
    table: Path, columns: Columns, name: str, kind: str, within: Path | None = None
) -> Listing:
    """The images that ``table`` names; with ``within``, only those in that folder."""
    rows = _rows(table)
    header = [cell.strip() for cell in rows[0]] if rows else []
    at = find_columns(header, columns, table)
    paths, names, labels, splits, left_out = [], [], [], [], []
    classes = set()
    for row in rows[1:]:
        typed, label, split = (_cell(row, at[what]) for what in ("path", "label", "split"))
        if not any(cell.strip() for cell in row):
            continue
        display = valid_unicode(typed.replace("\\", "/")) or "(no path)"
        path = _find(table.parent, typed, within)
        reason = _why_not(typed, label, split, path, at["split"] is not None)
        if label:
            classes.add(label)
        if reason or path is None:
            left_out.append(LeftOut(display, reason or "no such file"))
            continue
        paths.append(path)
        names.append(display)
        labels.append(label)
        splits.append(_split(split, table, header, at["split"]))
    return Listing(
        name=name,
        kind=kind,
        paths=tuple(paths),
        names=tuple(names),
        labels=tuple(labels),
        splits=tuple(splits) if at["split"] is not None else None,
        classes=tuple(sorted(classes)),
        left_out=tuple(left_out),
    )


def find_columns(header: Sequence[str], columns: Columns, table: Path) -> dict[str, int | None]:
    """The index of the column for "path", "label" and "split"; a split may be None.

    Raises:
        SettingsError: a column that was named, or that is needed, is not there.
    """
    lowered = [cell.lower() for cell in header]
    asked = {"path": columns.path, "label": columns.label, "split": columns.split}
    at: dict[str, int | None] = {}
    for what, name in asked.items():
        if name is not None:
            if name not in header and name.lower() not in lowered:
                raise SettingsError(
                    f"{table.name} has no column {name!r}{did_you_mean(name, header)}; "
                    f"its columns: {as_sentence(header, 20)}"
                )
            at[what] = header.index(name) if name in header else lowered.index(name.lower())
            continue
        taken = [column for column in at.values() if column is not None]
        usual = [lowered.index(usual) for usual in USUAL[what] if usual in lowered]
        at[what] = next((column for column in usual if column not in taken), None)
        if at[what] is None and what != "split":
            raise SettingsError(
                f"{table.name} must have a column of {what}s, but its columns are "
                f"{as_sentence(header, 20)}; name it with --{what}-column"
            )
    return at


def header_of(table: Path) -> list[str]:
    """The names of the columns of ``table``; empty where it cannot be read."""
    try:
        rows = _rows(table, 1)
    except DataError:
        return []
    return [cell.strip() for cell in rows[0]] if rows else []


def _rows(table: Path, most: int | None = None) -> list[list[str]]:
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


def _find(folder: Path, typed: str, within: Path | None) -> str | None:
    """The absolute path of an image; None where there is no such file (in ``within``)."""
    for spelling in dict.fromkeys((typed, typed.replace("\\", "/"))):
        path = os.path.normpath(folder / spelling)
        if within is not None and not Path(path).is_relative_to(within):
            continue
        if spelling and os.path.isfile(path):
            return path
    return None


def _why_not(typed: str, label: str, split: str, path: str | None, has_splits: bool) -> str:
    if not typed:
        return "no path in the table"
    if not label:
        return "no label in the table"
    if has_splits and not split:
        return "no split in the table"
    return "" if path is not None else "no such file"


def _split(value: str, table: Path, header: Sequence[str], column: int | None) -> str:
    if column is None:
        return ""
    if value.lower() not in SPELLINGS:
        raise DataError(
            f"column {header[column]!r} of {table.name} must say train, val or test, but has "
            f"{value!r}; mend it, or name another column with --split-column"
        )
    return SPELLINGS[value.lower()]
