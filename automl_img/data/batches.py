"""Rows in, batches out; numpy only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class Batches:
    """Shuffled training batches, all of one size, so that no graph is traced for a smaller one.

    Each epoch has an order of its own, fixed by the seed and the epoch's number alone; what does
    not fill a batch at its end is left out, other images each epoch. Fewer images than a batch
    make one batch of all.
    """

    def __init__(
        self, images: Images, labels: Ints, rows: Ints, batch_size: int, seed: int
    ) -> None:
        """
        Args:
            images: uint8, shape (cache rows, side, side, channels); may be a memory map.
            labels: int64, shape (cache rows,).
            rows: int64, the rows of ``images`` to train on.
            batch_size: at least 1.
            seed: 0 is a seed.

        Raises:
            ValueError: there is no row, or the batch size is below 1.
        """
        if batch_size < 1 or not len(rows):
            raise ValueError(
                f"batches need a row and a size of 1, but got {len(rows)} rows and {batch_size}"
            )
        self.batch_size = min(batch_size, len(rows))
        self._images, self._labels, self._rows, self._seed = images, labels, rows, seed
        self._order: tuple[int, Ints] | None = None

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._rows) // self.batch_size

    def batch(self, epoch: int, number: int) -> tuple[Images, Ints]:
        """Batch ``number`` of ``epoch``, both from 0: uint8 (b, s, s, c) and int64 (b,)."""
        if not 0 <= number < len(self):
            raise IndexError(f"an epoch has {len(self)} batches, but got number {number}")
        start = number * self.batch_size
        rows = self._epoch(epoch)[start : start + self.batch_size]
        return np.asarray(self._images[rows]), self._labels[rows]

    def _epoch(self, epoch: int) -> Ints:
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng(np.random.SeedSequence([self._seed, epoch]))
            self._order = (epoch, rng.permutation(self._rows))
        return self._order[1]


def evaluation_batches(images: Images, rows: Ints, batch_size: int) -> Iterator[tuple[Images, int]]:
    """The images of ``rows`` in order, in batches of one size; the last is filled up with zeros.

    Yields:
        uint8 (b, side, side, channels) with b = min(batch_size, rows), and how many are real.
    """
    size = min(batch_size, len(rows))
    for start in range(0, len(rows), max(1, size)):
        chosen = rows[start : start + size]
        batch = np.zeros((size, *images.shape[1:]), dtype=np.uint8)
        batch[: len(chosen)] = images[chosen]
        yield batch, len(chosen)
