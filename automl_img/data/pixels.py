"""Images decoded and resized once, into memory-mapped uint8 shared by all trials and later runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from automl_img.data import threads
from automl_img.data.cache import built_once, check_space, read_meta
from automl_img.data.decode import decode, digest_of, quiet, read
from automl_img.errors import DataError
from automl_img.events import Listener, Phase, ignore

# To be raised whenever the same file would be decoded to other pixels.
FORMAT = 1
IMAGES = "images.npy"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class PixelCache:
    """A whole folder of the cache: ``images.npy`` and ``meta.json``."""

    folder: Path

    @property
    def images(self) -> np.memmap[Any, np.dtype[np.uint8]]:
        """uint8, shape (rows, size, size, channels), read-only; each access maps it anew.

        Raises:
            DataError: the cache was removed or damaged.
        """
        try:
            mapped: np.memmap[Any, np.dtype[np.uint8]] = np.load(
                self.folder / IMAGES, mmap_mode="r", allow_pickle=False
            )
        except (OSError, ValueError) as error:
            raise DataError(
                f"the pixel cache {self.folder} must be whole, but {error}; "
                "remove the folder and start again"
            ) from None
        return mapped

    @property
    def failed(self) -> dict[int, str]:
        """The reason for each row that could not be decoded; its pixels are zeros."""
        meta = read_meta(self.folder) or {}
        return {int(row): reason for row, reason in meta.get("failed", {}).items()}


def build_pixels(
    paths: Sequence[str],
    digests: npt.NDArray[np.uint8],
    size: int,
    channels: int,
    cache: Path,
    listener: Listener = ignore,
) -> PixelCache:
    """The pixels of ``paths``, in their order, from the cache or decoded into it.

    Args:
        paths: absolute paths.
        digests: uint8, shape (paths, 16), of their content; with the other arguments, the key.
        size: side in pixels.
        channels: 1 or 3.
        cache: the root of the cache.
        listener: gets the progress.

    Raises:
        DataError: there is no room, the cache cannot be written, or a file has changed since its
            digest was taken.
    """
    folder = cache / "pixels" / _key(digests, size, channels)

    def build(into: Path) -> dict[str, Any]:
        listener(Phase(f"decoding {len(paths):,} images to {size} x {size} pixels"))
        check_space(into, len(paths) * size * size * channels)
        failed = _write(into / IMAGES, paths, digests, (size, size, channels), listener)
        return {
            "format": FORMAT,
            "shape": [len(paths), size, size, channels],
            "failed": failed,
            "sizes": {IMAGES: (into / IMAGES).stat().st_size},
        }

    built_once(folder, build, listener)
    return PixelCache(folder)


def _key(digests: npt.NDArray[np.uint8], size: int, channels: int) -> str:
    key = hashlib.blake2b(f"{FORMAT} {size} {channels} ".encode(), digest_size=16)
    key.update(np.ascontiguousarray(digests).tobytes())
    return key.hexdigest()


def _write(
    target: Path,
    paths: Sequence[str],
    digests: npt.NDArray[np.uint8],
    shape: tuple[int, int, int],
    listener: Listener,
) -> dict[int, str]:
    """Write all images in order; the reasons of those that failed, by row."""

    def work(rows: range) -> tuple[Pixels, dict[int, str]]:
        images = np.zeros((len(rows), *shape), dtype=np.uint8)
        failed = {}
        for place, row in enumerate(rows):
            data = _read_again(paths[row], digests[row])
            try:
                images[place] = decode(data, shape[0], shape[2])
            except DataError as error:
                failed[row] = str(error)
        return images, failed

    header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), *shape)}
    all_failed: dict[int, str] = {}
    # Written and not mapped, as a full disk kills the process that writes to a map.
    with target.open("wb") as stream, quiet():
        np.lib.format.write_array_header_1_0(stream, header)
        for images, failed in threads.in_chunks(work, len(paths), threads.worth(paths), listener):
            stream.write(images.data)
            all_failed.update(failed)
    return all_failed


def _read_again(path: str, digest: Pixels) -> bytes:
    try:
        data = read(path)
    except DataError as error:
        raise DataError(f"{path} was there a moment ago, but {error}; start again") from None
    if digest_of(data) != digest.tobytes():
        raise DataError(f"{path} must not change while it is read, but it did; start again")
    return data
