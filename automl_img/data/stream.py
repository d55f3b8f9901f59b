"""Images decoded anew whenever they are asked for: for data whose pixels do not fit on the disk."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from automl_img.data import processes
from automl_img.data.images import Rows
from automl_img.data.worker import Pixels, decode_job
from automl_img.errors import DataError

FILES = "files.npz"
# What is announced and not yet asked for: a few batches, and never more, whatever is dropped.
_MOST_AHEAD = 4


class StreamedImages:
    """An array uint8, shape (rows, size, size, channels), of which no pixel is kept.

    Rows are decoded by the background processes that all such arrays of this process share, and
    those announced with ``ahead`` before they are asked for. What could not be decoded when the
    files were checked is zeros, as in the cache.

    Raises:
        DataError: (when indexed) a file has changed since it was checked, or is gone.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[str], digests: Pixels, size: int, channels: int) -> None:
        """
        Args:
            paths: absolute paths.
            digests: uint8, shape (paths, 16), that their content must have.
            size: side in pixels.
            channels: 1 or 3.
        """
        self.shape = (len(paths), size, size, channels)
        self._paths, self._digests = paths, digests
        self._all = np.arange(len(paths))
        self._lock = Lock()
        self._begun: OrderedDict[bytes, _Batch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: Any) -> Pixels:
        chosen = self._all[rows]
        if np.ndim(chosen) == 0:
            one: Pixels = self._begin(self._all[chosen : chosen + 1]).wait()[0]
            return one
        with self._lock:
            batch = self._begun.pop(chosen.tobytes(), None)
        return (batch or self._begin(chosen)).wait()

    def __array__(self, *args: Any, **options: Any) -> Pixels:
        raise TypeError("these images do not fit on the disk; index the rows that are wanted")

    def ahead(self, rows: Rows) -> None:
        """Begin to decode ``rows``, which will be asked for soon, in this order.

        Only the last few announcements are kept.
        """
        chosen = self._all[rows]
        with self._lock:
            if chosen.tobytes() not in self._begun:
                self._begun[chosen.tobytes()] = self._begin(chosen)
            while len(self._begun) > _MOST_AHEAD:
                self._begun.popitem(last=False)[1].drop()

    def _begin(self, rows: Rows) -> _Batch:
        pool = processes.shared()
        pixels = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        _, size, _, channels = self.shape
        parts = []
        for part in processes.split_evenly(len(rows), pool.count):
            job = decode_job(
                [self._paths[row] for row in rows[part.start : part.stop].tolist()],
                self._digests[rows[part.start : part.stop]],
                size,
                channels,
                send=True,
            )
            parts.append(pool.submit(job, pixels[part.start : part.stop]))
        return _Batch(pixels, parts)


class _Batch:
    """Pixels that are being decoded."""

    def __init__(self, pixels: Pixels, parts: list[Future[Any]]) -> None:
        self._pixels, self._parts = pixels, parts

    def wait(self) -> Pixels:
        for part in self._parts:
            part.result()
        return self._pixels

    def drop(self) -> None:
        for part in self._parts:
            part.cancel()


def write_files(folder: Path, paths: Sequence[str], digests: Pixels, form: Sequence[int]) -> None:
    """Keep what ``open_streamed`` needs in ``folder``; ``form`` is (size, size, channels)."""
    np.savez(folder / FILES, paths=pack(paths), digests=digests, form=np.array(form))


def open_streamed(folder: Path) -> StreamedImages:
    """The images of which ``write_files`` kept the paths.

    Raises:
        DataError: the file was removed or damaged.
    """
    try:
        with np.load(folder / FILES, allow_pickle=False) as kept:
            size, _, channels = kept["form"].tolist()
            return StreamedImages(unpack(kept["paths"]), kept["digests"], size, channels)
    except Exception as error:
        raise DataError(
            f"the list of images in {folder} must be whole, but {error}; "
            "remove the folder and start again"
        ) from None


def pack(paths: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Paths as bytes, uint8 (bytes,); names that are no valid unicode too."""
    return np.frombuffer(os.fsencode("\0".join(paths)), dtype=np.uint8)


def unpack(packed: npt.NDArray[np.uint8]) -> list[str]:
    """The paths that ``pack`` packed; at least one."""
    return os.fsdecode(packed.tobytes()).split("\0")
