"""Folders that are written once, whole or not at all, and shared by all runs of a user."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from automl_img.errors import DataError
from automl_img.events import Listener, Phase, ignore
from automl_img.files import write_json

META = "meta.json"
_MANY_FILES = 100
# Seconds.
_BETWEEN_LOOKS = 1.0


class NoRoom(DataError):
    """The disk of the cache has fewer bytes free than are needed."""

    def __init__(self, needed: int, free: int, folder: Path) -> None:
        super().__init__(
            f"the images need {needed / 1e9:.1f} GB in the cache, but {free / 1e9:.1f} GB are free "
            f"in {folder}; free some, set AUTOML_IMG_CACHE to another disk, or use "
            "--limit-per-class or a smaller --image-size"
        )
        self.needed, self.free = needed, free


def cache_root() -> Path:
    """``$AUTOML_IMG_CACHE``, else ``automl-img`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("AUTOML_IMG_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "automl-img"


def built_once(
    folder: Path,
    build: Callable[[Path], dict[str, Any]],
    listener: Listener = ignore,
    look: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The meta of ``folder``, after ``build`` has filled it if nobody had before.

    ``build`` gets a temporary folder beside ``folder`` and returns the meta, which is written
    last; then the folder takes its name at once. So a folder under its own name is whole, whenever
    a writer was killed. Two processes that want the same folder build it once: the second waits.

    Args:
        look: called each second of such a wait, which ends with what it raises.

    Raises:
        DataError: the cache cannot be written, or the disk is full.
    """
    if (meta := read_meta(folder)) is not None:
        return meta
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder, listener, look):
            if (meta := read_meta(folder)) is not None:
                return meta
            _sweep(folder)
            return _build(folder, build)
    except OSError as error:
        hint = (
            "free some space"
            if error.errno == errno.ENOSPC
            else "make it writable"
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
            else "mend it"
        )
        raise DataError(
            f"the cache in {folder.parent} must be writable, but {error.strerror or error}; "
            f"{hint}, or set AUTOML_IMG_CACHE to another folder"
        ) from error


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The meta of a whole folder; None where there is none, or files have lost their size."""
    try:
        meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
        sizes = meta.get("sizes", {})
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return None
    return meta if whole else None


def check_space(folder: Path, needed: int) -> None:
    """Refuse what does not fit.

    Args:
        folder: where it is to be written; it need not exist yet.
        needed: bytes.

    Raises:
        NoRoom: there is less free space.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoRoom(needed, free, folder)


def _build(folder: Path, build: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        meta = build(temporary)
        _flush(temporary)
        write_json(temporary / META, meta)
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
        _flush_names(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return meta


@contextmanager
def _locked(folder: Path, listener: Listener, look: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(_lock_path(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        listener(Phase("waiting for another run that writes the same images"))
        while not lock.is_locked:
            look()
            with suppress(Timeout):
                lock.acquire(timeout=_BETWEEN_LOOKS)
    try:
        yield
    finally:
        lock.release()


def _lock_path(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.lock"


def _sweep(folder: Path) -> None:
    """Remove what killed writers left, of this folder and of its neighbours that nobody writes."""
    for left in folder.parent.glob(".*-*"):
        name = left.name[1:].rpartition("-")[0]
        if name == folder.name:
            shutil.rmtree(left, ignore_errors=True)
            continue
        lock = FileLock(_lock_path(folder.parent / name))
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except Timeout:
            continue


def _flush(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) > _MANY_FILES and hasattr(os, "sync"):
        # One flush of everything is far faster than one a file.
        os.sync()
        return
    for path in files:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _flush_names(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
