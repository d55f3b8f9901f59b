"""What tables of all kinds share: which columns count, and the rows that become a listing.

An image has one class, or any number of them: where its label is a list, where the user names a
separator, and where each class has a column that says yes or no.
"""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from automl_img.data.listing import (
    Columns,
    as_sentence,
)
from automl_img.data.urls import is_url, joined
from automl_img.errors import DataError, SettingsError, did_you_mean

USUAL = {
    "path": (
        *("path", "image_path", "img_path", "file_path", "filepath", "relative_path"),
        *("file", "file_name", "filename", "image_file", "image_name", "image", "img", "name"),
    ),
    "label": ("label", "class", "class_name", "category", "target", "labels", "y"),
    "split": ("split", "set", "subset", "partition"),
    "group": (),
    "coarse": (),
}
_OPTIONAL = ("split", "group", "coarse")
# Between the classes of a list: no name has it.
SEVERAL = "\x1f"
YES = frozenset(("1", "1.0", "true", "t", "yes", "y"))
NO = frozenset(("", "0", "0.0", "false", "f", "no", "n", "nan"))


def find_columns(header: Sequence[str], columns: Columns, table: Path) -> dict[str, int | None]:
    """The index of the column for "path", "label", "split", "group" and "coarse"; the last three
    may be None, and that of the label where each class has a column.

    Raises:
        SettingsError: a column that was named, or that is needed, is not there.
    """
    lowered = [cell.lower() for cell in header]
    asked = {
        "path": columns.path,
        "label": columns.label,
        "split": columns.split,
        "group": columns.group,
        "coarse": columns.coarse,
    }
    at: dict[str, int | None] = {}
    for what, name in asked.items():
        if what == "label" and columns.labels:
            at[what] = None
            continue
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
        if at[what] is None and what not in _OPTIONAL:
            raise SettingsError(
                f"{table.name} must have a column of {what}s, but its columns are "
                f"{as_sentence(header, 20)}; name it with --{what}-column"
                + (", or columns of 1 and 0 with --label-columns" if what == "label" else "")
            )
    return at


def find_label_columns(header: Sequence[str], columns: Columns, table: Path) -> list[str]:
    """The columns of which each says whether an image has the class that it is named by; empty
    where the user named none.

    Raises:
        SettingsError: there is none by a name or a pattern of the user.
    """
    found: dict[str, None] = {}
    for pattern in columns.labels:
        matching = [name for name in header if name == pattern or fnmatch.fnmatch(name, pattern)]
        if not matching:
            raise SettingsError(
                f"{table.name} has no column {pattern!r}{did_you_mean(pattern, header)}; "
                f"its columns: {as_sentence(header, 20)}"
            )
        found |= dict.fromkeys(matching)
    return list(found)


def classes_said(names: Sequence[str], values: Iterable[str], table: Path) -> str:
    """The classes whose columns say yes, as one label.

    Raises:
        DataError: a column says neither yes nor no.
    """
    said = []
    for name, value in zip(names, values, strict=True):
        if value.lower() in YES:
            said.append(name)
        elif value.lower() not in NO:
            raise DataError(
                f"column {name!r} of {table.name} must say 1 or 0, true or false, or yes or no, "
                f"but has {value!r}; mend it, or name other columns with --label-columns"
            )
    return SEVERAL.join(said)


def find_image(folder: Path | str, typed: str, within: Path | None = None) -> str | None:
    """The absolute path of an image that a table in ``folder`` names, or its URL; None where there
    is no such file, or none in ``within``. The separator of Windows is understood.

    Args:
        folder: that of the table. Where it is a URL, files of this machine are none of its images.
        typed: as it stands in the table.
        within: the only folder that counts; URLs do not lie in it.
    """
    if within is None and is_url(typed):
        return typed
    if isinstance(folder, str):
        return joined(folder, typed) if typed else None
    for spelling in dict.fromkeys((typed, typed.replace("\\", "/"))):
        path = os.path.normpath(folder / spelling)
        if within is not None and not Path(path).is_relative_to(within):
            continue
        if spelling and os.path.isfile(path):
            return path
    return None


def as_text(value: object, classes: Sequence[str] = ()) -> str:
    """A label, split or name as text; a number stands for one of ``classes`` where there are any.
    What pandas made a float, as there were gaps, is the number that it was; a list is its values,
    with ``SEVERAL`` between them, lists and objects among these left out."""
    if isinstance(value, list):
        plain = (each for each in value if not isinstance(each, list))
        return SEVERAL.join(filter(None, (as_text(each, classes) for each in plain)))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        value = int(value) if value.is_integer() else value
    if classes and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
