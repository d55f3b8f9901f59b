"""Where fetched files came from and when they were used: one that has left is fetched again as it
is read.

    remote/origins.db           one row a file, by its path below remote/
    remote/files/<key>          a file; its key is that of its URL and of what tells its content

So data may be larger than what the cache may take of them, and another run may take the room of a
file that is still in use here. The time of use is not that of the files, as a change of theirs
would have their headers read anew.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.errors import DataError

if TYPE_CHECKING:
    # Whoever decodes imports this, and few data are behind URLs.
    from automl_img.data.filesystems import FileSystems, RemoteFile

ROOT, FILES = "remote", "files"
# In each path of such a file; looked for first, as that is asked of every path of a data set.
_BETWEEN = os.path.join(os.sep, ROOT, FILES, "")
_DATABASE = "origins.db"
_TABLE = """
create table if not exists origins (
  name text primary key, url text not null, size integer, identity text not null, used real not null
) without rowid"""
# Seconds for which another process may write.
_PATIENCE = 120.0
# Seconds after which a file that is not here is forgotten.
_FORGOTTEN = 90 * 24 * 3600.0
# Files that a process fetches at a time, where it reads them one after the other.
_AHEAD = 16


class Origins:
    """Those of all files below ``root``, which processes share."""

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: the folder ``remote`` of a cache.
        """
        self._database = root / _DATABASE

    def note(self, files: Iterable[tuple[str, RemoteFile]]) -> None:
        """Remember that files, each with its path below the root, are used now.

        Raises:
            OSError: the cache cannot be written.
        """
        now = time.time()
        rows = [(name, file.url, file.size, file.identity, now) for name, file in files]
        self._database.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._write(rows, now)
        except sqlite3.OperationalError as error:
            raise OSError(f"{self._database}: {error}") from error
        except sqlite3.DatabaseError:
            # It is damaged; the files of others count as unused now.
            self._database.unlink(missing_ok=True)
            self._write(rows, now)

    def _write(self, rows: list[tuple[str, str, int | None, str, float]], now: float) -> None:
        # A URL may be signed, so it is nobody else's to read.
        self._database.touch(mode=0o600)
        with self._opened() as connection:
            connection.execute(_TABLE)
            connection.executemany("replace into origins values (?, ?, ?, ?, ?)", rows)
            connection.execute("delete from origins where used < ?", (now - _FORGOTTEN,))

    def of(self, name: str) -> RemoteFile | None:
        """Where the file with the path ``name`` below the root came from; None where nobody has
        noted that."""
        try:
            with self._opened() as connection:
                query = "select url, size, identity from origins where name = ?"
                found = connection.execute(query, (name,)).fetchone()
        except sqlite3.DatabaseError:
            return None
        from automl_img.data.filesystems import RemoteFile

        return None if found is None else RemoteFile(found[0], "", found[1], found[2])

    def identified(self) -> list[str]:
        """The paths of all files of which the server told what tells their content."""
        try:
            with self._opened() as connection:
                found = connection.execute("select name from origins where identity != ''")
                return [name for (name,) in found]
        except sqlite3.DatabaseError:
            return []

    def used(self) -> dict[str, float]:
        """When each file was used last, in seconds since 1970, by its path below the root."""
        try:
            with self._opened() as connection:
                return dict(connection.execute("select name, used from origins"))
        except sqlite3.DatabaseError:
            return {}

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with (
            closing(sqlite3.connect(self._database, timeout=_PATIENCE)) as connection,
            connection,
        ):
            yield connection


def is_kept(path: str) -> bool:
    """Whether it is the path of a file that came from a URL."""
    return _BETWEEN in path and _root_of(Path(path)) is not None


def known(paths: Sequence[str]) -> list[bool]:
    """Whether each is of a file that came from a URL whose server told what tells its content: what
    was read of it holds wherever the file is by now."""
    kept = (Path(path) for path in paths if _BETWEEN in path)
    roots = {root for path in kept if (root := _root_of(path)) is not None}
    told: set[str] = set()
    for root in roots:
        told.update(str(root / name) for name in Origins(root).identified())
    return [path in told for path in paths]


def fetch_again(path: str | Path) -> bytes | None:
    """The bytes of a file that has left the cache, or was never kept there; None for every other.

    Raises:
        Unreachable: its server does not answer.
        DataError: its server has it no more; the message is a short reason.
    """
    origin = _origin_of(Path(path))
    if origin is None:
        return None
    from automl_img.data.failures import Refused

    try:
        return _server().content(origin)
    except Refused as refused:
        raise DataError(refused.reason) from None


def read_ahead(
    paths: Sequence[str], read: Callable[[str], bytes]
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Each of ``paths``, in order, with a function that gives what ``read`` gives of it or raises;
    a few are read at a time."""
    ahead: deque[tuple[str, Future[bytes]]] = deque()
    pool = ThreadPoolExecutor(_AHEAD, "fetch")
    try:
        for path in paths:
            ahead.append((path, pool.submit(read, path)))
            if len(ahead) == _AHEAD:
                first, content = ahead.popleft()
                yield first, content.result
        for first, content in ahead:
            yield first, content.result
    finally:
        # Nobody waits for them: where this was left half read it ends wherever Python collects it,
        # perhaps with a lock in hand that these threads need to come to their end.
        pool.shutdown(wait=False, cancel_futures=True)


def _root_of(path: Path) -> Path | None:
    if _BETWEEN not in str(path):
        return None
    above = (folder for folder in path.parents if folder.name == FILES)
    return next((folder.parent for folder in above if folder.parent.name == ROOT), None)


def _origin_of(path: Path) -> RemoteFile | None:
    root = _root_of(path)
    return None if root is None else Origins(root).of(path.relative_to(root).as_posix())


@lru_cache(maxsize=1)
def _server() -> FileSystems:
    from automl_img.data.filesystems import FileSystems

    return FileSystems()
