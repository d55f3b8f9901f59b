"""The rows of a table, one after the other, until they are a listing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from automl_img.data.classes import likely_separator
from automl_img.data.downloads import Downloads
from automl_img.data.listing import SPELLINGS, LeftOut, Listing, as_sentence, valid_unicode
from automl_img.data.tables import NO, SEVERAL, YES
from automl_img.data.urls import has_password, is_url, shown
from automl_img.errors import DataError
from automl_img.events import Listener


class Rows:
    """The rows of a table, one after the other, until they are a listing."""

    def __init__(
        self,
        table: Path,
        split_column: str | None,
        grouped: bool = False,
        separator: str | None = None,
        classes: Iterable[str] = (),
    ) -> None:
        """
        Args:
            table: the file, for what is said of it.
            split_column: its name; None where the table has none.
            grouped: whether it has a column of groups.
            separator: between the classes of an image; None where each has one class.
            classes: known without the rows.
        """
        self._table, self._split_column, self._grouped = table, split_column, grouped
        self._separator = separator
        self._paths: list[str] = []
        self._names: list[str] = []
        self._labels: list[str] = []
        self._splits: list[str] = []
        self._groups: list[str] = []
        self._left_out: list[LeftOut] = []
        self._classes: set[str] = set(classes)
        # Of labels that are lists: how many items each has.
        self._lengths: set[int] = set()
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
            DataError: the split is not known, a label is a list where others are not, or a class
                belongs to two coarser ones.
        """
        display = valid_unicode(shown(typed).replace("\\", "/")) or "(no path)"
        label, group = valid_unicode(label), valid_unicode(group)
        if self._separator is not None:
            classes = [each.strip() for each in label.split(self._separator)]
            self._lengths.add(len(classes))
            label = self._separator.join(dict.fromkeys(filter(None, classes)))
            self._classes.update(filter(None, classes))
        elif label:
            self._classes.add(label)
        if SEVERAL in label and self._separator != SEVERAL:
            beside = "all rows or in none" if self._separator is None else "none beside a separator"
            raise DataError(
                f"labels of {self._table.name} must be lists in {beside}, but that of {display!r} "
                "is one; mend it"
            )
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
            DataError: it does not fit, or cannot be fetched; or labels are vectors of 0 and 1.
        """
        self._refuse_vectors()
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
            hint=self._hint(),
        )

    def _hint(self) -> str:
        found = likely_separator(self._labels) if self._separator is None else None
        if found is None:
            return ""
        separator, share = found
        return (
            f"{100 * share:.0f} % of the labels contain {separator!r}; if an image has several "
            f"classes, say --label-separator {separator!r}"
        )

    def _refuse_vectors(self) -> None:
        alike = len(self._lengths) == 1 and max(self._lengths) > 1
        if alike and self._separator == SEVERAL and self._classes <= (YES | NO):
            raise DataError(
                f"labels of {self._table.name} must be lists of classes, but all are as long as "
                f"each other and have {as_sentence(sorted(self._classes))} alone, as vectors do; "
                "give each class a column, and name these with --label-columns"
            )

    def _belongs(self, label: str, coarse: str) -> None:
        """Note the coarser class of a class."""
        if coarse and self._separator is not None:
            raise DataError(
                f"coarser classes need images with one class each, but those of {self._table.name} "
                "may have several; leave out --coarse-column"
            )
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
        if is_url(typed) and has_password(typed):
            return "its URL has a password"
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
