"""Files fetched from URLs into the cache, several at a time, each whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from automl_img.data.cache import NoRoom, check_space
from automl_img.data.failures import Refused
from automl_img.data.filesystems import FileSystems, RemoteFile
from automl_img.data.kept import BOUND_NAME, KeptFiles, bound, size_of
from automl_img.data.urls import shown
from automl_img.errors import DataError
from automl_img.events import Listener, Notice, Phase, Progress
from automl_img.files import replacing

_AT_ONCE = 16
# Seconds.
_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Fetched:
    """What became of files, by URL.

    Attributes:
        paths: absolute paths of those that are here now.
        refused: why others are not: gone, or not to be read.
    """

    paths: dict[str, str]
    refused: dict[str, str]


class Downloads:
    """The files of one data set.

    Several processes may fetch at a time. The bound holds for each of them, so that together they
    may exceed it for a while.
    """

    def __init__(self, cache: Path, data: str, listener: Listener) -> None:
        """
        Args:
            cache: the root of the cache.
            data: the URL or table that names the files.
            listener: gets the progress, in MB.

        Raises:
            SettingsError: the bound in the environment is no amount.
        """
        self.server = FileSystems()
        self._kept, self._bound = KeptFiles(cache), bound()
        self._data, self._listener = data, listener

    def fetch_urls(self, urls: Sequence[str]) -> Fetched:
        """Fetch images that are named one by one; see ``fetch``."""
        self._listener(Phase(f"asking for {len(urls):,} files of {shown(self._data)}"))
        found: list[RemoteFile] = []
        refused = self._each(urls, lambda url: found.append(self.server.file(url)))
        fetched = self.fetch(found, later=True)
        return Fetched(fetched.paths, {**refused, **fetched.refused})

    def fetch(self, files: Sequence[RemoteFile], later: bool = False) -> Fetched:
        """Fetch what is not here yet.

        Args:
            later: they are images: where not all of them fit they are fetched as each is read
                (``automl_img.data.origins``), and their paths are those of no file.

        Raises:
            DataError: they do not fit, no attempt at one succeeded, or the cache cannot be written.
        """
        places = {file.url: self._kept.place(file) for file in files}
        missing = {file.url: file for file in files if not self._kept.has(file)}
        refused: dict[str, str] = {}
        try:
            # First, so that another process takes none of these for unused.
            self._kept.note_use({places[file.url]: file for file in files})
            self._check_bound({file.url: file.size or 0 for file in files})
            refused = self._fetch(missing, places) if missing else {}
        except (_TooLarge, NoRoom) as error:
            if not later:
                raise
            self._listener(Notice(_why_later(self._data, error)))
        except OSError as error:
            raise DataError(
                f"the cache in {self._kept.root} must be writable, but {error.strerror or error}; "
                "mend that, or set AUTOML_IMG_CACHE to another folder"
            ) from None
        return Fetched({u: str(at) for u, at in places.items() if u not in refused}, refused)

    def _fetch(self, missing: dict[str, RemoteFile], places: dict[str, Path]) -> dict[str, str]:
        for url, file in missing.items():
            if not file.identity:
                # Of an earlier run: nothing tells whether it is the same, should this one not come.
                places[url].unlink(missing_ok=True)
        needed = sum(file.size or 0 for file in missing.values())
        ours = set(places.values())
        self._kept.make_room(needed, ours, self._bound)
        check_space(self._kept.root, needed)
        here = sum(size_of(at) or 0 for url, at in places.items() if url not in missing)
        meter = _Meter(self._bound - here, self._too_large)
        megabytes = -(-needed // 10**6)
        what = f"{len(missing):,} files" if len(missing) > 1 else "a file"
        self._listener(Phase(f"fetching {what} of {shown(self._data)}, {megabytes:,} MB"))

        def fetch(url: str) -> None:
            with replacing(places[url]) as temporary:
                self.server.download(missing[url], temporary, lambda size: meter.tell(url, size))

        def progress() -> None:
            if megabytes:
                done = -(-meter.total // 10**6)
                self._listener(Progress(min(done, megabytes), megabytes))

        refused = self._each(list(missing), fetch, progress)
        if any(file.size is None for file in missing.values()):
            self._kept.make_room(0, ours, self._bound)
        return refused

    def _each(
        self,
        urls: Sequence[str],
        do: Callable[[str], None],
        progress: Callable[[], None] = lambda: None,
    ) -> dict[str, str]:
        """``do`` for each of ``urls``, and why some were refused; any other error ends it."""
        done: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()

        def attempt(url: str) -> None:
            try:
                do(url)
            except BaseException as error:
                done.put((url, error))
            else:
                done.put((url, None))

        refused: dict[str, str] = {}
        pool = ThreadPoolExecutor(_AT_ONCE, "fetch")
        try:
            for url in urls:
                pool.submit(attempt, url)
            left = len(urls)
            while left:
                try:
                    url, error = done.get(timeout=_BETWEEN_LOOKS)
                except Empty:
                    progress()
                    continue
                left -= 1
                if isinstance(error, Refused):
                    refused[url] = error.reason
                elif error is not None:
                    raise error
            progress()
        except BaseException:
            # What is under way ends soon, and leaves nothing half.
            self.server.stop.set()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return refused

    def _check_bound(self, sizes: dict[str, int]) -> None:
        total = sum(sizes.values())
        if total > self._bound:
            raise self._too_large(f"{total / 1e9:,.3g} GB")

    def _too_large(self, takes: str) -> _TooLarge:
        return _TooLarge(
            f"downloads may take {self._bound / 1e9:,.3g} GB of the cache, but {shown(self._data)} "
            f"takes {takes}; set {BOUND_NAME} to more, or give a part of it"
        )


class _TooLarge(DataError):
    """More than the bound of the cache."""


def _why_later(data: str, error: DataError) -> str:
    why = "does not fit on the disk of the cache"
    if isinstance(error, _TooLarge):
        why = f"is larger than downloads may be in the cache ({bound() / 1e9:,.3g} GB)"
    return (
        f"{shown(data)} {why}, so its images are fetched anew whenever they are read, which is "
        f"slower; a larger {BOUND_NAME}, or AUTOML_IMG_CACHE on a larger disk, helps"
    )


class _Meter:
    """Counts bytes over all threads, and refuses what goes beyond what was told or may be."""

    def __init__(self, most: int, refusal: Callable[[str], DataError]) -> None:
        self.total = 0
        self._most, self._refusal = most, refusal
        self._by_url: dict[str, int] = {}
        self._lock = threading.Lock()

    def tell(self, url: str, size: int) -> None:
        """Take in that ``size`` bytes of ``url`` have come, in this attempt at it.

        Raises:
            DataError: all together are more than may be.
        """
        with self._lock:
            self.total += size - self._by_url.get(url, 0)
            self._by_url[url] = size
            if self.total > self._most:
                raise self._refusal("more, as its server did not tell")
