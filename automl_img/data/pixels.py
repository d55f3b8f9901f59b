"""Images decoded and resized once, into memory-mapped uint8 shared by all trials and later runs.

Where that does not fit on the disk, the files are only checked, and decoded in every epoch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data import processes, stream
from automl_img.data.cache import NoRoom, built_once, check_space, read_meta
from automl_img.data.images import Images
from automl_img.data.worker import Pixels, decode_job
from automl_img.errors import DataError
from automl_img.events import Listener, Notice, Phase, Progress, ignore

# To be raised whenever the same file would be decoded to other pixels.
FORMAT = 2
IMAGES = "images.npy"

# Of decoding on one core: a file of 32 pixels takes 0.08 ms, a photo of 25 kB 0.6 ms.
_FILE_SECONDS = 6e-5
_BYTE_SECONDS = 2e-8


@dataclass(frozen=True)
class PixelCache:
    """A whole folder of the cache: ``meta.json``, and ``images.npy`` or a list of files."""

    folder: Path

    @property
    def streamed(self) -> bool:
        """Whether the images are decoded anew whenever they are asked for."""
        return (self.folder / stream.FILES).exists()

    @property
    def images(self) -> Images:
        """uint8, shape (rows, size, size, channels), read-only; each access opens it anew.

        A memory map, or ``StreamedImages``.

        Raises:
            DataError: the cache was removed or damaged.
        """
        if self.streamed:
            return stream.open_streamed(self.folder)
        try:
            mapped: Images = np.load(self.folder / IMAGES, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"the pixel cache {self.folder} must be whole, but {error}; "
                "remove the folder and start again"
            ) from None
        return mapped

    @property
    def seconds_an_image(self) -> float:
        """That decoding took when the folder was made, by all processes together."""
        meta = read_meta(self.folder) or {}
        return float(meta.get("seconds", 0.0)) / max(int(meta.get("shape", [1])[0]), 1)

    @property
    def failed(self) -> dict[int, str]:
        """The reason for each row that could not be decoded; its pixels are zeros."""
        meta = read_meta(self.folder) or {}
        return {int(row): reason for row, reason in meta.get("failed", {}).items()}


def build_pixels(
    paths: Sequence[str],
    digests: Pixels,
    size: int,
    channels: int,
    cache: Path,
    listener: Listener = ignore,
) -> PixelCache:
    """The pixels of ``paths``, in their order, from the cache or decoded into it.

    Where they do not fit on the disk, a notice says so, each file is decoded once to find those
    that cannot be, and the images are streamed.

    Args:
        paths: absolute paths.
        digests: uint8, shape (paths, 16), of their content; with the other arguments, the key.
        size: side in pixels.
        channels: 1 or 3.
        cache: the root of the cache.
        listener: gets the progress.

    Raises:
        DataError: the cache cannot be written, or a file has changed since its digest was taken.
    """
    todo = _Decoding(paths, digests, (size, size, channels), listener)
    try:
        folder = cache / "pixels" / todo.key()
        built_once(folder, todo.into_cache, listener)
    except NoRoom as short:
        listener(Notice(_why_streamed(len(paths), short, cache)))
        # Its content is the paths, so they are in the key.
        folder = cache / "streams" / todo.key(with_paths=True)
        built_once(folder, todo.checked_only, listener)
    return PixelCache(folder)


@dataclass(frozen=True)
class _Decoding:
    """All images of a data set, to be decoded in order."""

    paths: Sequence[str]
    digests: Pixels
    shape: tuple[int, int, int]
    listener: Listener

    def key(self, with_paths: bool = False) -> str:
        size, _, channels = self.shape
        key = hashlib.blake2b(f"{FORMAT} {size} {channels} ".encode(), digest_size=16)
        key.update(np.ascontiguousarray(self.digests).tobytes())
        if with_paths:
            key.update(stream.pack(self.paths).tobytes())
        return key.hexdigest()

    def into_cache(self, folder: Path) -> dict[str, Any]:
        """Write ``images.npy``; gives the meta of the folder."""
        check_space(folder, len(self.paths) * int(np.prod(self.shape)))
        side = self.shape[0]
        self.listener(Phase(f"decoding {len(self.paths):,} images to {side} x {side} pixels"))
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(self.paths), *self.shape)}
        with (folder / IMAGES).open("wb") as target:
            np.lib.format.write_array_header_1_0(target, header)
            start = target.tell()
        return self._meta(folder, IMAGES, folder / IMAGES, start)

    def checked_only(self, folder: Path) -> dict[str, Any]:
        """Write the list of the files; gives the meta of the folder."""
        self.listener(Phase(f"checking that {len(self.paths):,} images can be decoded"))
        stream.write_files(folder, self.paths, self.digests, self.shape)
        return self._meta(folder, stream.FILES, None, 0)

    def _decode(self, into: Path | None, start: int) -> dict[int, str]:
        """Decode all, into a file from byte ``start`` on or for nothing; who failed, and why."""
        size, _, channels = self.shape
        image_bytes = int(np.prod(self.shape))
        count = processes.worth(self.paths, _FILE_SECONDS, _BYTE_SECONDS)
        chunks = processes.chunks(len(self.paths), count)
        jobs = (
            decode_job(
                self.paths[rows.start : rows.stop],
                self.digests[rows.start : rows.stop],
                size,
                channels,
                into=into,
                offset=start + rows.start * image_bytes,
            )
            for rows in chunks
        )
        failed: dict[int, str] = {}
        with closing(processes.run(jobs, count)) as results:
            for rows, result in zip(chunks, results, strict=True):
                failed.update({rows.start + place: reason for place, reason in result})
                self.listener(Progress(rows.stop, len(self.paths)))
        return failed

    def _meta(self, folder: Path, content: str, into: Path | None, start: int) -> dict[str, Any]:
        """Decode all; the meta of a folder that holds ``content`` by then."""
        began = time.perf_counter()
        failed = self._decode(into, start)
        return {
            "format": FORMAT,
            "seconds": round(time.perf_counter() - began, 4),
            "shape": [len(self.paths), *self.shape],
            "failed": failed,
            "sizes": {content: (folder / content).stat().st_size},
        }


def _why_streamed(count: int, short: NoRoom, cache: Path) -> str:
    return (
        f"the pixels of {count:,} images need {short.needed / 1e9:.1f} GB, but "
        f"{short.free / 1e9:.1f} GB are free in {cache}, so they are decoded anew in every epoch, "
        "which is slower; a smaller --image-size or AUTOML_IMG_CACHE on another disk helps"
    )
