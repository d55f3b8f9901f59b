"""Rows in, batches out; numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from automl_img.data.images import Images, look_ahead

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

# Batches that are announced while one is fetched: streamed images are decoded meanwhile.
AHEAD = 2


class Batches:
    """Shuffled training batches, all of one size, so that no graph is traced for a smaller one.

    Each epoch has an order of its own, fixed by the seed and the epoch's number alone; what does
    not fill a batch at its end is left out, other images each epoch. Fewer images than a batch
    make one batch of all. With ``oversampling`` an epoch is as long, but has images of rare classes
    several times and leaves out some of the others, others each epoch.

    Attributes:
        class_weights: float32 (classes,), the mean over the images drawn is 1; None for no weights.
    """

    def __init__(
        self,
        images: Images,
        labels: Ints,
        rows: Ints,
        batch_size: int,
        seed: int,
        weighting: float = 0.0,
        oversampling: float = 0.0,
    ) -> None:
        """
        Args:
            images: shape (cache rows, ...), of any dtype: pixels or features, in memory or not.
            labels: int64, shape (cache rows,).
            rows: int64, the rows of ``images`` to train on.
            batch_size: at least 1.
            seed: 0 is a seed.
            weighting: of a class: its weight is its frequency to the power of minus this, in
                [0, 1].
            oversampling: images drawn of a class are its number of them to the power of 1 minus
                this, in [0, 1], times a constant.

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
        self.class_weights: Array | None = None
        self._of_classes: list[Ints] = []
        if not weighting and not oversampling:
            return
        counts = np.bincount(labels[rows])
        drawn = np.where(counts, np.maximum(counts, 1.0) ** (1 - oversampling), 0)
        if oversampling:
            present = counts > 0
            by_class = rows[np.argsort(labels[rows], kind="stable")]
            self._of_classes = np.split(by_class, np.cumsum(counts[present])[:-1])
            self._drawn = drawn[present] * len(rows) / drawn.sum()
        if weighting:
            weights = np.maximum(counts, 1.0) ** -weighting
            self.class_weights = (weights / np.average(weights, weights=drawn)).astype(np.float32)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._rows) // self.batch_size

    def batch(self, epoch: int, number: int) -> tuple[Array, Ints]:
        """Batch ``number`` of ``epoch``, both from 0.

        Returns:
            Images, shape (batch_size, ...) and dtype of theirs, and labels, int64 (batch_size,).

        Raises:
            IndexError: the epoch has no such batch.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"an epoch has {len(self)} batches, but got number {number}")
        for near in range(number, min(number + AHEAD + 1, len(self))):
            look_ahead(self._images, self._rows_of(epoch, near))
        rows = self._rows_of(epoch, number)
        return np.asarray(self._images[rows]), self._labels[rows]

    def _rows_of(self, epoch: int, number: int) -> Ints:
        start = number * self.batch_size
        return self._epoch(epoch)[start : start + self.batch_size]

    def _epoch(self, epoch: int) -> Ints:
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng(np.random.SeedSequence([self._seed, epoch]))
            rows = self._oversampled(rng) if self._of_classes else self._rows
            self._order = (epoch, rng.permutation(rows))
        return self._order[1]

    def _oversampled(self, rng: np.random.Generator) -> Ints:
        """As many rows as there are, of each class its share of them up to rounding: all of its
        images as often as that gives, and a random part of them once more."""
        ends = np.floor(np.cumsum(self._drawn) + rng.uniform()).astype(np.int64)
        ends[-1] = len(self._rows)
        chosen = []
        for own, count in zip(self._of_classes, np.diff(ends, prepend=0).tolist(), strict=True):
            more = rng.choice(own, count % len(own), replace=False)
            chosen.append(np.concatenate([np.tile(own, count // len(own)), more]))
        return np.concatenate(chosen)


def evaluation_batches(images: Images, rows: Ints, batch_size: int) -> Iterator[tuple[Array, int]]:
    """The images of ``rows`` in order, in batches of one size; the last is filled up with zeros.

    Yields:
        An array (b, ...) of the dtype of ``images`` with b = min(batch_size, rows), and how many
        of it are real.
    """
    size = min(batch_size, len(rows))
    starts = range(0, len(rows), max(1, size))
    for start in starts:
        for near in starts[start // size : start // size + AHEAD + 1]:
            look_ahead(images, rows[near : near + size])
        chosen = rows[start : start + size]
        batch = np.zeros((size, *images.shape[1:]), dtype=images.dtype)
        batch[: len(chosen)] = images[chosen]
        yield batch, len(chosen)
