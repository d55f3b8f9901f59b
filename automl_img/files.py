"""Files written so that a killed process leaves the old file or the new one, never a half."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

# As the system says it, and SQLite.
_FULL = ("No space left on device", "database or disk is full", "Disk quota exceeded")
# As ``tempfile`` names them.
_TEMPORARY = re.compile(r"\..*-[a-z0-9_]{8}(\.\w+)?")
_UMASK = threading.Lock()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the place of ``path`` at once.

    The data is flushed to the disk before the rename, so that after a power cut too the file is
    whole or absent. When the block raises, the temporary file is deleted and ``path`` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def disk_is_full(error: BaseException) -> bool:
    """Whether ``error``, or what it came from, is that a disk or a quota is full; libraries have
    that in their own errors, some as text alone."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(words in str(seen) for words in _FULL):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def sweep(folder: Path) -> None:
    """Delete what ``replacing`` has left below ``folder`` in processes that were killed."""
    for path in folder.rglob(".*-*"):
        if path.is_file() and _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text``, whole or not at all, as UTF-8; what that cannot hold as ``\\udcff``."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all; not-finite numbers become ``null``."""
    write_text(path, json.dumps(json_safe(value), indent=2, ensure_ascii=False) + "\n")


def append_json_line(path: Path, value: Any) -> None:
    """Append one line of JSON and flush it to the disk.

    A last line that a killed process left torn is closed first, so that it cannot swallow this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(json_safe(value), ensure_ascii=False)
    with path.open("a+", encoding="utf-8", errors="backslashreplace") as stream:
        if _ends_torn(path):
            stream.write("\n")
        stream.write(line + "\n")
        _flush(stream)


def read_json_lines(path: Path) -> list[Any]:
    """The values of a JSON-lines file; lines torn by a killed writer are dropped."""
    return _json_lines(path)[0]


def torn_lines(path: Path) -> int:
    """How many lines of a JSON-lines file a killed writer has left torn."""
    return _json_lines(path)[1]


def _json_lines(path: Path) -> tuple[list[Any], int]:
    if not path.exists():
        return [], 0
    values, torn = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError:
            torn += bool(line)
    return values, torn


def json_safe(value: Any) -> Any:
    """``value`` with NaN and infinities as ``None``, tuples and arrays as lists."""
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    if hasattr(value, "tolist"):
        return json_safe(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def _flush(stream: TextIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _umask() -> int:
    # It can only be read by setting it; two threads at once would leave it at 0.
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask


def links_in(folder: Path, besides: str) -> Iterator[Path]:
    """The symbolic links below ``folder``, but for what is in the folder ``besides`` there."""
    for place, folders, files in os.walk(folder):
        found = [Path(place, name) for name in [*folders, *files]]
        yield from (path for path in found if path.is_symlink())
        if Path(place) == folder:
            folders[:] = [name for name in folders if name != besides]
