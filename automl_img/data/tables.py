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
    "coarse": (),
}
_OPTIONAL = ("split", "group", "coarse")
# Between the classes of a list: no name has it.
SEVERAL = "\x1f"
_YES = frozenset(("1", "1.0", "true", "t", "yes", "y"))
_NO = frozenset(("", "0", "0.0", "false", "f", "no", "n", "nan"))


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
        if value.lower() in _YES:
            said.append(name)
        elif value.lower() not in _NO:
            raise DataError(
                f"column {name!r} of {table.name} must say 1 or 0, true or false, or yes or no, "
                f"but has {value!r}; mend it, or name other columns with --label-columns"
            )
    return SEVERAL.join(said)


class Rows:
    """The rows of a table, one after the other, until they are a listing."""

    def __init__(
        self,
        table: Path,
        split_column: str | None,
        grouped: bool = False,
        separator: str | None = None,
    ) -> None:
        """
        Args:
            table: the file, for what is said of it.
            split_column: its name; None where the table has none.
            grouped: whether it has a column of groups.
            separator: between the classes of an image; None where each has one class.
        """
        self._table, self._split_column, self._grouped = table, split_column, grouped
        self._separator = separator
        self._paths: list[str] = []
        self._names: list[str] = []
        self._labels: list[str] = []
        self._splits: list[str] = []
        self._groups: list[str] = []
        self._left_out: list[LeftOut] = []
        self._classes: set[str] = set()
        self._coarse: dict[str, str] = {}

    def add(
        self,
        typed: str,
        path: str | None,
        label: str,
        split: str = "",
        group: str = "",
        coarse: str = "",
    ) -> None:
        """Take in a row.

        Args:
            typed: what the table calls the image.
            path: of its file, or its URL; None where there is none.
            label, split, group: as they stand there; empty where nothing does. An image that may
                have several classes may have none.
            coarse: the coarser class of the label; empty where there is no such column.

        Raises:
            DataError: the split is not known, or a class belongs to two coarser ones.
        """
        display = valid_unicode(shown(typed).replace("\\", "/")) or "(no path)"
        label, group = valid_unicode(label), valid_unicode(group)
        if self._separator is not None:
            classes = [each.strip() for each in label.split(self._separator)]
            label = self._separator.join(dict.fromkeys(filter(None, classes)))
            self._classes.update(filter(None, classes))
        elif label:
            self._classes.add(label)
        if reason := self._why_not(typed, label, split):
            self._left_out.append(LeftOut(display, reason))
        elif path is None:
            self._left_out.append(LeftOut(display, "no such file"))
        else:
            self._belongs(label, valid_unicode(coarse))
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
            separator=self._separator,
            coarse=dict(self._coarse) or None,
        )

    def _belongs(self, label: str, coarse: str) -> None:
        """Note the coarser class of a class."""
        if coarse and self._coarse.setdefault(label, coarse) != coarse:
            raise DataError(
                f"each class must belong to one coarser class, but {label!r} of {self._table.name} "
                f"belongs to {self._coarse[label]!r} and {coarse!r}; mend it, or leave out "
                "--coarse-column"
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
        if not label and self._separator is None:
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
    What pandas made a float, as there were gaps, is the number that it was; a list is its values,
    with ``SEVERAL`` between them."""
    if isinstance(value, list):
        return SEVERAL.join(filter(None, (as_text(each, classes) for each in value)))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        value = int(value) if value.is_integer() else value
    if classes and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
