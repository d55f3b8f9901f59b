"""The test images, which no code of the search can look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from automl_img.data.images import Selection
from automl_img.data.listing import LeftOut
from automl_img.data.pixels import build_pixels
from automl_img.errors import DataError
from automl_img.events import Listener, Notice, ignore
from automl_img.labels import Labels


@dataclass(frozen=True)
class TestImages:
    """The test images, decoded.

    Attributes:
        images: ``Images``, uint8, shape (images, side, side, channels); to be read by rows, as they
            may not fit in memory.
        labels: see ``automl_img.labels``.
        names: one an image.
        left_out: those that cannot be decoded.
    """

    # Its name begins as that of a test does.
    __test__ = False

    images: Any
    labels: Labels
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


class SealedTest:
    """Where the test images are; it opens once, after the winner is retrained.

    It cannot be pickled, so it does not reach a worker of the search.
    """

    def __init__(
        self,
        paths: tuple[str, ...],
        names: tuple[str, ...],
        labels: Labels,
        digests: npt.NDArray[np.uint8],
        size: int,
        channels: int,
        cache: Path,
    ) -> None:
        """Keep what is needed to decode the images later; nothing is opened here."""
        self.count = len(paths)
        self._sealed = True
        self._rows = (paths, names, labels, digests)
        self._form = (size, channels, cache)

    def open(self, listener: Listener = ignore) -> TestImages:
        """Decode the test images into a cache of their own; what does not fit there is streamed.

        Raises:
            DataError: not one can be decoded, or the cache cannot be written.
            RuntimeError: they were opened before; a second look would be one of selection.
        """
        if not self._sealed:
            raise RuntimeError("the test images were opened before; they are read once")
        self._sealed = False
        paths, names, labels, digests = self._rows
        size, channels, cache = self._form
        pixels = build_pixels(paths, digests, size, channels, cache, listener)
        failed = pixels.failed
        left_out = tuple(LeftOut(names[row], reason) for row, reason in failed.items())
        if len(failed) == self.count:
            raise DataError("not one test image can be decoded, so the winner cannot be measured")
        if not failed:
            return TestImages(pixels.images, labels, names, ())
        listener(Notice(f"{len(failed):,} of {self.count:,} test images were left out"))
        kept = np.setdiff1d(np.arange(self.count), np.array(list(failed), dtype=np.int64))
        kept_names = tuple(names[row] for row in kept.tolist())
        return TestImages(Selection(pixels.images, kept), labels[kept], kept_names, left_out)

    def __reduce__(self) -> NoReturn:
        raise TypeError("the test images stay in the process that prepared them")

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise TypeError("the test images are opened once, so there is no copy of them")
