"""Files that were fetched, in the cache up to a bound; the least recently used leave first."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from automl_img.data.filesystems import RemoteFile
from automl_img.data.listing import is_image_name
from automl_img.data.origins import FILES, ROOT, Origins
from automl_img.data.urls import file_name
from automl_img.errors import SettingsError

# Bytes, unless the environment says otherwise.
BOUND = 50 * 10**9
BOUND_NAME = "AUTOML_IMG_REMOTE_CACHE"
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
# Seconds after which nobody can still be writing a temporary file.
_ABANDONED = 3600.0


def bound() -> int:
    """The bytes that all files may take.

    Raises:
        SettingsError: what the environment says is no amount.
    """
    typed = os.environ.get(BOUND_NAME, "").strip()
    if not typed:
        return BOUND
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b?", typed, re.IGNORECASE)
    if found is None:
        raise SettingsError(
            f"{BOUND_NAME} must be an amount such as 50GB, but is {typed!r}; mend it"
        )
    return int(float(found[1]) * _UNITS[found[2].lower()])


@dataclass(frozen=True)
class _Kept:
    path: Path
    size: int
    used: float


class KeptFiles:
    """The files of all data sets, which share one bound."""

    def __init__(self, cache: Path) -> None:
        """
        Args:
            cache: the root of the cache.
        """
        self.root = cache / ROOT
        self._origins = Origins(self.root)

    def place(self, file: RemoteFile) -> Path:
        """Where the file is, or is to be written; of what its server calls it only an ending or a
        plain name gets into that."""
        key = _key(f"{file.url}\0{file.identity}")
        stem, ending = os.path.splitext(file_name(file.url))
        folder = self.root / FILES / key[:2]
        if is_image_name(f"x{ending}"):
            return folder / f"{key[2:]}{ending.lower()}"
        # What is said of a table or an archive has its name.
        plain = [re.sub(r"[^\w.-]", "_", part) for part in (stem, ending)]
        return folder / key[2:] / f"{plain[0].strip('.')[:60] or 'file'}{plain[1][:12]}"

    def has(self, file: RemoteFile) -> bool:
        """Whether the content that the server tells of is here; never where it tells nothing."""
        found = size_of(self.place(file))
        return bool(file.identity) and found is not None and file.size in (None, found)

    def note_use(self, places: Mapping[Path, RemoteFile]) -> None:
        """Remember that files are used now, by the places where they are or will be.

        Raises:
            OSError: the cache cannot be written.
        """
        self._origins.note(
            (place.relative_to(self.root).as_posix(), file) for place, file in places.items()
        )

    def make_room(self, needed: int, ours: Collection[Path], most: int) -> None:
        """Remove what was not used for longest, until ``needed`` bytes more are within the bound
        and fit on the disk.

        Args:
            needed: bytes.
            ours: files that stay.
            most: the bound in bytes.
        """
        found = list(self._files())
        total = sum(each.size for each in found)
        most = min(most, total + shutil.disk_usage(self.root).free)
        for each in sorted(found, key=lambda each: each.used):
            if total + needed <= most:
                break
            if each.path not in ours:
                each.path.unlink(missing_ok=True)
                total -= each.size
                # Its folder too, once that is empty.
                with suppress(OSError):
                    each.path.parent.rmdir()

    def _files(self) -> Iterator[_Kept]:
        used = self._origins.used()
        for path in (self.root / FILES).rglob("*"):
            with suppress(OSError):
                if not path.is_file():
                    continue
                status = path.stat()
                if path.name.startswith(".") and status.st_mtime < time.time() - _ABANDONED:
                    # What a killed process was fetching.
                    path.unlink()
                    continue
                name = path.relative_to(self.root).as_posix()
                yield _Kept(path, status.st_size, max(used.get(name, 0.0), status.st_mtime))


def size_of(path: Path) -> int | None:
    """Bytes; None where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
