"""A folder of class folders, or of train, validation and test folders of class folders.

The class of an image is the first folder below the root (or below its split); folders deeper down
belong to the same class. Links are followed, each folder once in a class, so that a loop ends.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from automl_img.data.listing import (
    SPELLINGS,
    Columns,
    LeftOut,
    Listing,
    as_sentence,
    is_hidden,
    is_image_name,
    typed_path,
    valid_unicode,
)
from automl_img.data.sources.hugging_face import is_saved
from automl_img.data.sources.parquet import parts_in
from automl_img.errors import DataError, SettingsError
from automl_img.events import Listener

WHAT = "a folder of class folders, or of train, val and test folders of these"


def accepts(data: str) -> bool:
    """Whether ``data`` is a folder of images."""
    path = typed_path(data)
    return os.path.isdir(path) and not (is_saved(path) or parts_in(path))


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images in the folder ``data``.

    Raises:
        DataError: validation or test folders came without a train folder, or no class folders.
        SettingsError: a column was named, but a folder has none.
    """
    if columns.named():
        raise SettingsError(
            f"{columns.named()[0]} needs a table, but {data} is a folder; give the table as data"
        )
    root = typed_path(data).absolute()
    return list_folder(root, root.resolve().name or "images", "folder")


def list_folder(root: Path, name: str, kind: str) -> Listing:
    """The images below ``root``, which may lie some single folders deeper."""
    found = _Found(str(root))
    try:
        top = descend(root)
        splits = _split_folders(top)
        for folder, split in splits:
            _list_classes(folder, split, found)
        if not splits:
            _list_classes(top, "", found)
        else:
            _leave_out_others(top, {folder for folder, _ in splits}, found)
    except OSError as error:
        raise DataError(f"{error.filename or root} must be readable: {error.strerror}") from None
    if not found.classes:
        raise DataError(_no_classes(top))
    return Listing(
        name=name,
        kind=kind,
        paths=tuple(found.paths),
        names=tuple(found.names),
        labels=tuple(found.labels),
        splits=tuple(found.splits) if splits else None,
        classes=tuple(sorted(found.classes)),
        left_out=tuple(found.left_out),
    )


def descend(root: Path) -> Path:
    """The first folder from ``root`` on that holds more than one folder, or images or tables."""
    seen = set()
    while root.resolve() not in seen:
        seen.add(root.resolve())
        inside = _folders(root)
        files = [entry.name for entry in _entries(root) if not _is_folder(entry)]
        if len(inside) != 1 or any(is_image_name(name) or is_table_name(name) for name in files):
            break
        if any(is_image_name(entry.name) for entry in _entries(inside[0])):
            # It is the one class, not a wrapping.
            break
        root = inside[0]
    return root


def is_table_name(name: str) -> bool:
    """Whether a file is a table by its name."""
    return name.lower().endswith((".csv", ".tsv")) and not is_hidden(name)


@dataclass
class _Found:
    root: str
    paths: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    left_out: list[LeftOut] = field(default_factory=list)

    def display(self, path: str) -> str:
        # All paths lie below the root; os.path.relpath takes 20 times as long to find that out.
        inside = path.removeprefix(self.root.rstrip(os.sep) + os.sep)
        return valid_unicode(inside.replace(os.sep, "/"))

    def add(self, path: str, label: str, split: str) -> None:
        self.paths.append(path)
        self.names.append(self.display(path))
        self.labels.append(label)
        self.splits.append(split)

    def leave_out(self, path: str, reason: str) -> None:
        self.left_out.append(LeftOut(self.display(path), reason))


def _split_folders(top: Path) -> list[tuple[Path, str]]:
    """The folders of the splits with their split; empty where the folders are classes."""
    found = [(path, SPELLINGS[path.name.lower()]) for path in _named_as_splits(top)]
    # A class may be called "train", of pictures of trains; then images lie right in it.
    found = [(path, split) for path, split in found if _folders(path)]
    given = {split for _, split in found}
    if len(given) < 2:
        return []
    if "train" not in given:
        raise DataError(
            f"{top} must have a train folder beside {as_sentence([p.name for p, _ in found])}; "
            "add one, or put the class folders straight into it"
        )
    return found


def _named_as_splits(top: Path) -> list[Path]:
    return [path for path in _folders(top) if path.name.lower() in SPELLINGS]


def _list_classes(folder: Path, split: str, found: _Found) -> None:
    for entry in _entries(folder):
        if _is_folder(entry):
            label = valid_unicode(entry.name)
            found.classes.add(label)
            seen = {_identity(folder), _identity(Path(found.root))}
            _list_images(entry.path, label, split, found, seen)
        elif is_image_name(entry.name):
            found.leave_out(entry.path, "not in a class folder")


def _leave_out_others(top: Path, splits: set[Path], found: _Found) -> None:
    """Name the images that lie beside the folders of the splits."""
    beside = _Found(found.root)
    for entry in _entries(top):
        if _is_folder(entry) and Path(entry.path) not in splits:
            _list_images(entry.path, "", "", beside, {_identity(path) for path in splits})
        elif is_image_name(entry.name):
            found.leave_out(entry.path, "not in a class folder")
    for path in beside.paths:
        found.leave_out(path, "beside the folders of the splits")


def _list_images(
    folder: str, label: str, split: str, found: _Found, seen: set[tuple[int, int]]
) -> None:
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        try:
            identity = _identity(Path(path))
            if identity in seen:
                continue
            seen.add(identity)
            inside = _entries(Path(path))
        except OSError as error:
            found.leave_out(path, f"the folder cannot be read: {error.strerror}")
            continue
        for entry in inside:
            if _is_folder(entry):
                waiting.append(entry.path)
            elif is_image_name(entry.name):
                if _is_plain(entry):
                    found.add(entry.path, label, split)
                else:
                    found.leave_out(entry.path, "a broken link, or not a plain file")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_plain(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry for entry in entries if not is_hidden(entry.name)), key=lambda e: e.name
        )


def _folders(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if _is_folder(entry)]


def _no_classes(top: Path) -> str:
    tables = [entry.name for entry in _entries(top) if is_table_name(entry.name)]
    hint = f"give the table {str(top / tables[0])!r} as data" if tables else "sort the images so"
    return (
        f"{top} must hold one folder for each class, but it holds no folder; {hint} (images "
        "without labels are not what this tool is for)"
    )
