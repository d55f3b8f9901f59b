"""What the driver's node gives to the others of a cluster, and takes from them; it runs there as an
actor of Ray, see ``automl_img.search.shipping``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from automl_img.files import replacing

# Bytes of a message: large enough to fill a network.
PIECE = 32 * 2**20


class FileServer:
    """Gives the files of a search to other nodes, and takes what its trials write.

    Raises (each method):
        PermissionError: a path is none of the search.
        OSError: it cannot be read or written.
    """

    def __init__(self, run: str, others: Sequence[str]) -> None:
        """
        Args:
            run: the run folder, which may be written.
            others: files and folders that may be read.
        """
        self._run = Path(run).resolve()
        self._readable = [self._run, *(Path(each).resolve() for each in others)]
        self._notes: dict[str, dict[str, dict[str, Any]]] = {}

    def sizes(self, path: str) -> dict[str, int]:
        """Bytes of each file below ``path``, by its name from there; of a file, "" and its own."""
        found = self._checked(path, self._readable)
        if found.is_file():
            return {"": found.stat().st_size}
        return {
            each.relative_to(found).as_posix(): each.stat().st_size
            for each in sorted(found.rglob("*"))
            if each.is_file() and not each.name.startswith(".")
        }

    def read(self, path: str, start: int, size: int = PIECE) -> bytes:
        """The bytes of a file from ``start`` on, at most ``size``."""
        with self._checked(path, self._readable).open("rb") as stream:
            stream.seek(start)
            return stream.read(size)

    def write(self, path: str, pieces: list[bytes]) -> None:
        """Write a file of the run, whole."""
        target = self._checked(path, [self._run])
        with replacing(target) as temporary, temporary.open("wb") as stream:
            stream.writelines(pieces)

    def remove(self, path: str) -> None:
        """Remove a file of the run, where it is there."""
        self._checked(path, [self._run]).unlink(missing_ok=True)

    def digest(self, path: str) -> str:
        """A digest of the content of a file, by which it is the same wherever it lies."""
        return digest_of_file(str(self._checked(path, self._readable)))

    def note(self, node: str, facts: dict[str, dict[str, Any]]) -> None:
        """Keep what a node tells of features in its cache, by name."""
        for name, each in facts.items():
            self._notes.setdefault(name, {})[node] = each

    def notes(self, name: str) -> dict[str, dict[str, Any]]:
        """What nodes have told of ``name``, by node."""
        return dict(self._notes.get(name, {}))

    def _checked(self, path: str, allowed: Sequence[Path]) -> Path:
        # Links may lie on the way to what is served, and none in it may lead out.
        found = Path(path).resolve()
        if not any(found.is_relative_to(root) for root in allowed):
            raise PermissionError(f"{path} is no file of this search")
        return found


@cache
def digest_of_file(path: str) -> str:
    """BLAKE2b of the content of a file, in hex; looked at once by each process."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
