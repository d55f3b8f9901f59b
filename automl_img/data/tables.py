"""What tables of all kinds share: which columns count, and the rows that become a listing."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from automl_img.data.downloads import Downloads
from automl_img.data.listing import (
    SPELLINGS,
    Columns,
    LeftOut,
    Listing,
    as_sentence,
    valid_unicode,
)
from automl_img.data.urls import is_url, joined, shown
from automl_img.errors import DataError, SettingsError, did_you_mean
from automl_img.events import Listener

USUAL = {
    "path": (
        *("path", "image_path", "img_path", "file_path", "filepath", "relative_path"),
        *("file", "file_name", "filename", "image_file", "image_name", "image", "img", "name"),
    ),
    "label": ("label", "class", "class_name", "category", "target", "labels", "y"),
    "split": ("split", "set", "subset", "partition"),
    "group": (),
}
_OPTIONAL = ("split", "group")


def find_columns(header: Sequence[str], columns: Columns, table: Path) -> dict[str, int | None]:
    """The index of the column for "path", "label", "split" and "group"; the last two may be None.

    Raises:
        SettingsError: a column that was named, or that is needed, is not there.
    """
    lowered = [cell.lower() for cell in header]
    asked = {
        "path": columns.path,
        "label": columns.label,
        "split": columns.split,
        "group": columns.group,
    }
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
        if at[what] is None and what not in _OPTIONAL:
            raise SettingsError(
                f"{table.name} must have a column of {what}s, but its columns are "
                f"{as_sentence(header, 20)}; name it with --{what}-column"
            )
    return at


class Rows:
    """The rows of a table, one after the other, until they are a listing."""

    def __init__(self, table: Path, split_column: str | None, grouped: bool = False) -> None:
        """
        Args:
            table: the file, for what is said of it.
            split_column: its name; None where the table has none.
            grouped: whether it has a column of groups.
        """
        self._table, self._split_column, self._grouped = table, split_column, grouped
        self._paths: list[str] = []
        self._names: list[str] = []
        self._labels: list[str] = []
        self._splits: list[str] = []
        self._groups: list[str] = []
        self._left_out: list[LeftOut] = []
        self._classes: set[str] = set()

    def add(
        self, typed: str, path: str | None, label: str, split: str = "", group: str = ""
    ) -> None:
        """Take in a row.

        Args:
            typed: what the table calls the image.
            path: of its file, or its URL; None where there is none.
            label, split, group: as they stand there; empty where nothing does.

        Raises:
            DataError: the split is not known.
        """
        display = valid_unicode(shown(typed).replace("\\", "/")) or "(no path)"
        label, group = valid_unicode(label), valid_unicode(group)
        if label:
            self._classes.add(label)
        if reason := self._why_not(typed, label, split):
            self._left_out.append(LeftOut(display, reason))
        elif path is None:
            self._left_out.append(LeftOut(display, "no such file"))
        else:
            self._paths.append(path)
            self._names.append(display)
            self._labels.append(label)
            self._splits.append(self._split(split))
            self._groups.append(group)

    def listing(self, name: str, kind: str, cache: Path, listener: Listener) -> Listing:
        """All rows, after what has a URL was fetched; see ``Listing`` for the arguments.

        Raises:
            DataError: it does not fit, or cannot be fetched.
        """
        self._fetch(cache, listener)
        return Listing(
            name=name,
            kind=kind,
            paths=tuple(self._paths),
            names=tuple(self._names),
            labels=tuple(self._labels),
            splits=tuple(self._splits) if self._split_column is not None else None,
            classes=tuple(sorted(self._classes)),
            left_out=tuple(self._left_out),
            groups=tuple(self._groups) if self._grouped else None,
        )

    def _fetch(self, cache: Path, listener: Listener) -> None:
        urls = list(dict.fromkeys(path for path in self._paths if is_url(path)))
        if not urls:
            return
        fetched = Downloads(cache, str(self._table), listener).fetch_urls(urls)
        kept = []
        for row, path in enumerate(self._paths):
            if reason := fetched.refused.get(path):
                self._left_out.append(LeftOut(self._names[row], reason))
            else:
                self._paths[row] = fetched.paths.get(path, path)
                kept.append(row)
        for column in (self._paths, self._names, self._labels, self._splits, self._groups):
            column[:] = [column[row] for row in kept]

    def _why_not(self, typed: str, label: str, split: str) -> str:
        if not typed:
            return "no path in the table"
        if not label:
            return "no label in the table"
        return "no split in the table" if self._split_column is not None and not split else ""

    def _split(self, value: str) -> str:
        if self._split_column is None:
            return ""
        if value.lower() not in SPELLINGS:
            raise DataError(
                f"column {self._split_column!r} of {self._table.name} must say train, val or test, "
                f"but has {value!r}; mend it, or name another column with --split-column"
            )
        return SPELLINGS[value.lower()]


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
    What pandas made a float, as there were gaps, is the number that it was."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        value = int(value) if value.is_integer() else value
    if classes and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
