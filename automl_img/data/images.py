"""What images are to those who train on them: an array by rows, in memory or not."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


class Images(Protocol):
    """An array of images or features, the first axis their rows; read by rows and not as a whole.

    Memory maps and arrays are such, and so are ``StreamedImages`` and ``Selection``. Indexed with
    one row it gives one image, with rows, a slice or a mask the array of these.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        ...

    @property
    def dtype(self) -> Any:
        """The numpy dtype of the values."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


class Selection:
    """Some rows of ``images`` in an order of their own; nothing is copied until it is read."""

    def __init__(self, images: Images, rows: Rows) -> None:
        self._images, self._rows = images, rows
        self.shape = (len(rows), *images.shape[1:])
        self.dtype = images.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self._images[self._rows[rows]]
        return found

    def __array__(self, *args: Any, **options: Any) -> npt.NDArray[Any]:
        raise TypeError("these images may not fit in memory; index the rows that are wanted")

    def ahead(self, rows: Rows) -> None:
        """Announce rows, see ``look_ahead``."""
        look_ahead(self._images, self._rows[rows])


def look_ahead(images: Images, rows: Rows) -> None:
    """Say that ``rows`` will be asked for next, just so: streamed images begin to decode them."""
    announce = getattr(images, "ahead", None)
    if announce is not None:
        announce(rows)
