"""A zip or tar file of class folders or of a table with images; unpacked once into the cache.

Nothing outside the cache can be written: members with ``..``, absolute names, links and devices
are left out, and the size is bounded before anything is written.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from automl_img.data.cache import built_once, check_space
from automl_img.data.listing import (
    Columns,
    LeftOut,
    Listing,
    as_sentence,
    is_hidden,
    typed_path,
    valid_unicode,
)
from automl_img.data.sources.folder import descend, is_table_name, list_folder
from automl_img.data.sources.table import header_of, list_table
from automl_img.data.tables import find_columns, find_label_columns
from automl_img.data.unpacking import check_bounds
from automl_img.errors import DataError, SettingsError
from automl_img.events import Listener, Phase

WHAT = "a zip or tar file of class folders, or of a table with its images"
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error),
    *(EOFError, NotImplementedError),
)

Member = tuple[str, str, int, Callable[[], IO[bytes]]]


def accepts(data: str) -> bool:
    """Whether ``data`` is a file named like an archive."""
    path = typed_path(data)
    return path.name.lower().endswith(SUFFIXES) and os.path.isfile(path)


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images in the archive ``data``.

    Raises:
        DataError: it is damaged, encrypted or too large, or holds no class folders and no table.
        SettingsError: a column was named that its table has not.
    """
    archive = typed_path(data).absolute()
    folder = cache / "archives" / _digest(archive)

    def build(into: Path) -> dict[str, Any]:
        listener(Phase(f"unpacking {archive.name}"))
        return _unpack(archive, into)

    meta = built_once(folder, build, listener)
    found = _list(folder / "files", columns, archive, cache, listener)
    refused = tuple(LeftOut(name, reason) for name, reason in meta["left_out"])
    return dataclasses.replace(found, name=_short_name(archive), left_out=refused + found.left_out)


def _list(files: Path, columns: Columns, archive: Path, cache: Path, listener: Listener) -> Listing:
    top = descend(files)
    tables = [path for path in sorted(top.iterdir()) if is_table_name(path.name)]
    fitting = [table for table in tables if _fits(table, columns)]
    if len(fitting) > 1:
        names = as_sentence([table.name for table in fitting])
        raise DataError(
            f"{archive.name} must hold one table of images, but has {names}; "
            "unpack it and give one of them as data"
        )
    if fitting or columns.named():
        if not tables:
            raise SettingsError(
                f"{columns.named()[0]} needs a table, but there is none in {archive.name}"
            )
        table = fitting[0] if fitting else tables[0]
        return list_table(table, columns, "archive", cache, listener, within=top)
    return list_folder(top, archive.name, "archive")


def _fits(table: Path, columns: Columns) -> bool:
    try:
        header = header_of(table)
        find_columns(header, columns, table)
        find_label_columns(header, columns, table)
    except SettingsError:
        return False
    return True


def _unpack(archive: Path, into: Path) -> dict[str, Any]:
    """Write the files of ``archive`` below ``into/files``."""
    left_out, total = [], 0
    packed = archive.stat().st_size
    root = into / "files"
    root.mkdir()
    try:
        for name, refusal, size, opened in _members(archive, into):
            if any(is_hidden(part) for part in PurePosixPath(name).parts if part != ".."):
                continue
            reason = refusal or _unsafe(name)
            if not reason:
                total += size
                check_bounds(archive.name, total, packed)
                reason = _write(root / name, opened)
            if reason:
                left_out.append((valid_unicode(name), reason))
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{archive.name} must be a whole zip or tar file, but {error}; get it anew"
        ) from None
    return {"left_out": left_out, "bytes": total}


def _members(archive: Path, into: Path) -> Iterator[Member]:
    """Name, reason to refuse it or "", bytes, and how to open it, of each file in the archive."""
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive, into)
    else:
        yield from _tar_members(archive)


def _zip_members(archive: Path, into: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        # ``is_dir`` fails where a name is empty.
        files = [info for info in opened.infolist() if not info.filename.endswith("/")]
        if any(info.flag_bits & 1 for info in files):
            raise DataError(f"{archive.name} is encrypted; unpack it and give the folder as data")
        total = sum(info.file_size for info in files)
        check_bounds(archive.name, total, archive.stat().st_size, len(files))
        check_space(into, total)
        for info in files:
            linked = stat.S_ISLNK(info.external_attr >> 16)
            refusal = "a link in the archive" if linked else ""
            # Some writers on Windows put their own separator into the names.
            name = info.filename.replace("\\", "/")
            yield name, refusal, info.file_size, functools.partial(opened.open, info)


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive, "r:*") as opened:
        for count, info in enumerate(opened, start=1):
            check_bounds(archive.name, 0, 1, count)
            if info.isdir():
                continue
            refusal = "" if info.isfile() else "a link or device in the archive"
            yield info.name, refusal, info.size, functools.partial(_tar_file, opened, info)


def _tar_file(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = opened.extractfile(info)
    if file is None:
        raise tarfile.ReadError(f"{info.name} has no content")
    return file


def _unsafe(name: str) -> str:
    """Why a member of this name is not written, or ""."""
    path = PurePosixPath(name)
    drive = re.match(r"[A-Za-z]:", name)
    if path.is_absolute() or ".." in path.parts or not path.parts or drive or "\0" in name:
        return "its name leads out of the archive"
    return ""


def _write(path: Path, opened: Callable[[], IO[bytes]]) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened() as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        path.unlink(missing_ok=True)
        return f"damaged in the archive: {error}"
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return "a file and a folder have the same name"
    return ""


def _digest(archive: Path) -> str:
    with archive.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _short_name(archive: Path) -> str:
    suffix = max((s for s in SUFFIXES if archive.name.lower().endswith(s)), key=len)
    return archive.name[: -len(suffix)] or "archive"
