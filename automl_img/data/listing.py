"""What a source found: one row an image, before any file was opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from automl_img import plugins
from automl_img.data import sources
from automl_img.errors import DataError, did_you_mean
from automl_img.events import Listener, ignore
from automl_img.settings import SearchSettings

SPLITS = ("train", "validation", "test")
SPELLINGS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table that the user named; None finds a column by its usual names, but for
    groups, of which there are none then.

    Attributes:
        labels: where each class has a column of its own that says yes or no: their names, or
            patterns with ``*``.
        separator: between the classes of an image that has several, in the column of labels.
        coarse: the column of the coarser class that each class belongs to.
    """

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    labels: tuple[str, ...] = ()
    separator: str | None = None
    coarse: str | None = None

    @classmethod
    def of(cls, settings: SearchSettings) -> Columns:
        """Those that ``settings`` name."""
        typed = (settings.label_columns or "").split(",")
        return cls(
            settings.path_column,
            settings.label_column,
            settings.split_column,
            settings.group_column,
            tuple(name.strip() for name in typed if name.strip()),
            settings.label_separator,
            settings.coarse_column,
        )

    def named(self) -> tuple[str, ...]:
        """The options that were given, as typed on the command line."""
        given = {
            "path": self.path,
            "label": self.label,
            "split": self.split,
            "group": self.group,
            "coarse": self.coarse,
        }
        found = [f"--{name}-column" for name, value in given.items() if value is not None]
        found += ["--label-columns"] if self.labels else []
        found += ["--label-separator"] if self.separator is not None else []
        return tuple(found)


@dataclass(frozen=True)
class LeftOut:
    """An image or a class that is not used, and why."""

    name: str
    reason: str
    what: Literal["image", "class"] = "image"


@dataclass(frozen=True)
class Listing:
    """The images of a data set by columns, in a fixed order.

    Attributes:
        name: short, for the run's name: "digits", "photos".
        kind: the source, by the name of its file in ``automl_img.data.sources``.
        paths: absolute paths.
        names: paths relative to the root of the data, with "/", valid unicode.
        labels: class names, one an image; with ``separator`` any number of them an image.
        splits: "train", "validation" or "test", one an image; None where none came.
        groups: what each image belongs to (a patient, a scene), "" for nothing; None where none
            came. Images of a group stay in one part.
        classes: every class name seen, also of those without an image.
        left_out: images that cannot be listed, with the reason.
        separator: what stands between the classes of an image; None where each has one class.
        coarse: the coarser class that each class belongs to, by its name; None where none came.
        hint: what the user may have meant otherwise, in a sentence; empty for nothing.
    """

    name: str
    kind: str
    paths: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] | None
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    groups: tuple[str, ...] | None = None
    separator: str | None = None
    coarse: Mapping[str, str] | None = None
    hint: str = ""


def listing_of(data: str, columns: Columns, cache: Path, listener: Listener = ignore) -> Listing:
    """The images that ``data`` names, as typed by the user.

    Raises:
        DataError: ``data`` is nothing that a source takes, or holds no image.
        SettingsError: a column was named that is not there.
    """
    found = plugins.leaves(sources)
    for source in found if data else ():
        # In the order of their names, so that a built-in name comes before a folder.
        if source.accepts(data):
            listing: Listing = source.listing(data, columns, cache, listener)
            if not listing.paths and not listing.left_out:
                endings = ", ".join(sorted(IMAGE_SUFFIXES))
                raise DataError(f"{data} must name images, but has none; images end in {endings}")
            return listing
    known = plugins.leaf(sources, "builtin").NAMES
    accepted = "; ".join(source.WHAT for source in found)
    rule = "is of no known kind" if data and os.path.exists(typed_path(data)) else "does not exist"
    raise DataError(f"{data!r} {rule}{did_you_mean(data, known)}; what is taken: {accepted}")


def typed_path(data: str) -> Path:
    """The path that the user typed, with ``~`` resolved where it can be."""
    return Path(os.path.expanduser(data))


def valid_unicode(text: str) -> str:
    """``text`` with the surrogates of an undecodable file name as backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's images: dot files, and what macOS adds."""
    return name.startswith(".") or name == "__MACOSX"


def is_image_name(name: str) -> bool:
    """Whether the file name ends as images do, in any case."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and f".{suffix.lower()}" in IMAGE_SUFFIXES


def as_sentence(items: Sequence[str], most: int = 5) -> str:
    """``"'a', 'b' and 3 more"``."""
    shown = ", ".join(repr(item) for item in items[:most])
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown
