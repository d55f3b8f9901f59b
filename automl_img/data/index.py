"""One row an image, in columns: a million images are a few arrays, not a million objects."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from automl_img import labels as label_sets
from automl_img.data import memo
from automl_img.data.classes import coarse_of, filled_up, labels_of, renumbered
from automl_img.data.decode import DIGEST_BYTES
from automl_img.data.headers import read_headers
from automl_img.data.listing import SPLITS, Columns, LeftOut, Listing, listing_of
from automl_img.errors import DataError
from automl_img.events import Listener, Phase, ignore
from automl_img.labels import Labels
from automl_img.settings import SearchSettings

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SMALL_SIDE = 64
LARGE_SIDE = 128
SMALLEST_SIDE = 8


@dataclass(frozen=True)
class DataIndex:
    """The images that are used.

    Attributes:
        paths: absolute paths.
        names: names to show, relative to the root of the data, valid unicode.
        labels: see ``automl_img.labels``.
        class_names: sorted as people do, "2" before "10"; each has an image.
        splits: int8, shape (images,): places in ``SPLITS``; None where no splits came.
        widths, heights: int32, shape (images,), pixels.
        grey: bool, shape (images,).
        digests: uint8, shape (images, 16), of the content of the files.
        groups: int64, shape (images,), the same for images that stay in one part: copies of each
            other, and what the user named so; None where there is neither.
        copies: int64, shape (images,), the same for copies of each other, exact or nearly so; None
            where nobody has looked.
        left_out: images and classes that are not used, with the reason.
        coarse: the coarser class that each class belongs to, shape (classes,); None where none
            came.
    """

    paths: tuple[str, ...]
    names: tuple[str, ...]
    labels: Labels
    class_names: tuple[str, ...]
    splits: npt.NDArray[np.int8] | None
    widths: npt.NDArray[np.int32]
    heights: npt.NDArray[np.int32]
    grey: Mask
    digests: npt.NDArray[np.uint8]
    groups: Ints | None = None
    copies: Ints | None = None
    left_out: tuple[LeftOut, ...] = ()
    coarse: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def channels(self) -> int:
        """1 where all images are grey, else 3."""
        return 1 if bool(self.grey.all()) else 3

    @property
    def class_counts(self) -> Ints:
        """Images of each class, int64 (classes,)."""
        return label_sets.count(self.labels, len(self.class_names))

    def label_of(self, row: int) -> str:
        """The class of an image, or its classes with "|" between them."""
        return "|".join(label_sets.names(self.labels[row], self.class_names))

    @property
    def image_size(self) -> int:
        """The side in pixels to train at: the images' own, in the median, up to 64; else 128."""
        if not len(self):
            return LARGE_SIDE
        side = round(float(np.median(np.minimum(self.widths, self.heights))))
        return max(SMALLEST_SIDE, side) if side <= SMALL_SIDE else LARGE_SIDE

    @property
    def fingerprint(self) -> str:
        """32 hex digits that change with any name, label, split or content."""
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for texts in (self.names, self.class_names):
            digest.update("\0".join(texts).encode("utf-8"))
            digest.update(b"\0\0")
        for array in (self.labels, self.splits, self.digests):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def without(self, rows: npt.ArrayLike, reason: str | list[str]) -> DataIndex:
        """This index without ``rows``; a class that has no image left goes too.

        Args:
            rows: int64 rows.
            reason: one for all rows, or one for each.
        """
        gone = np.asarray(rows, dtype=np.int64)
        reasons = [reason] * len(gone) if isinstance(reason, str) else reason
        left = [
            LeftOut(self.names[row], why) for row, why in zip(gone.tolist(), reasons, strict=True)
        ]
        kept = np.ones(len(self), dtype=np.bool_)
        kept[gone] = False
        return self._keep(kept, left)

    def limit_per_class(self, most: int, seed: int) -> DataIndex:
        """At most ``most`` images of each class in each split that came; a seeded part of them.

        Of images with several classes those of which a class is not full yet. What is over is not
        listed as left out: nothing is wrong with it.
        """
        splits = np.zeros(len(self), np.int8) if self.splits is None else self.splits
        kept = np.zeros(len(self), dtype=np.bool_)
        if label_sets.are_sets(self.labels):
            for split in np.unique(splits).tolist():
                rng = np.random.default_rng([seed, split])
                rows = rng.permutation(np.flatnonzero(splits == split))
                kept[rows[filled_up(self.labels[rows], most)]] = True
            return self._keep(kept, [])
        groups = splits.astype(np.int64) * len(self.class_names) + self.labels
        order = np.argsort(groups, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            if len(rows):
                rng = np.random.default_rng([seed, int(groups[rows[0]])])
                kept[rng.permutation(rows)[:most]] = True
        return self._keep(kept, [])

    def _keep(self, kept: Mask, left_out: list[LeftOut]) -> DataIndex:
        rows = np.flatnonzero(kept)
        counts = label_sets.count(self.labels[rows], len(self.class_names))
        used, lost = np.flatnonzero(counts), np.flatnonzero(counts == 0)
        return DataIndex(
            paths=tuple(self.paths[row] for row in rows.tolist()),
            names=tuple(self.names[row] for row in rows.tolist()),
            labels=renumbered(self.labels[rows], used),
            class_names=tuple(self.class_names[label] for label in used.tolist()),
            coarse=self.coarse and tuple(self.coarse[label] for label in used.tolist()),
            splits=None if self.splits is None else self.splits[rows],
            widths=self.widths[rows],
            heights=self.heights[rows],
            grey=self.grey[rows],
            digests=self.digests[rows],
            groups=None if self.groups is None else self.groups[rows],
            copies=None if self.copies is None else self.copies[rows],
            left_out=(
                *self.left_out,
                *left_out,
                *(class_left_out(self.class_names[label]) for label in lost.tolist()),
            ),
        )

    def without_classes(self, gone: Ints) -> DataIndex:
        """This index, of images that may have several classes, without the classes ``gone``."""
        kept = np.setdiff1d(np.arange(len(self.class_names)), gone)
        return dataclasses.replace(
            self,
            labels=self.labels[:, kept],
            class_names=tuple(self.class_names[label] for label in kept.tolist()),
            left_out=(
                *self.left_out,
                *(
                    LeftOut(self.class_names[label], "no training image has this class", "class")
                    for label in gone.tolist()
                ),
            ),
        )


def indexed(settings: SearchSettings, cache: Path, listener: Listener) -> tuple[Listing, DataIndex]:
    """The images that ``settings`` name, found and read for their headers and digests.

    Raises:
        DataError, SettingsError: see ``listing_of`` and ``read_index``.
    """
    listener(Phase("looking for images"))
    listing = listing_of(settings.data, Columns.of(settings), cache, listener)
    listener(Phase(f"reading {len(listing.paths):,} images"))
    index = read_index(listing, listener, cache)
    if settings.limit_per_class is not None:
        index = index.limit_per_class(settings.limit_per_class, settings.seed)
    return listing, index


def read_index(
    listing: Listing, listener: Listener = ignore, cache: Path | None = None
) -> DataIndex:
    """Read every file of ``listing`` once, for its header and its content's digest.

    What is no image is left out with its reason, and so is a class without any image left.

    Args:
        listing: where the files are.
        listener: gets the progress.
        cache: the root of the cache, where the next run finds what was read of files that are
            untouched since; None remembers nothing.

    Raises:
        DataError: not one image can be used.
    """
    memory = cache and memo.place(cache, listing.kind, listing.name, listing.paths)
    found = read_headers(listing.paths, memory, listener)
    good = np.ones(len(listing.paths), dtype=np.bool_)
    good[list(found.reasons)] = False
    rows = np.flatnonzero(good).tolist()
    bad = [LeftOut(listing.names[row], found.reasons[row]) for row in sorted(found.reasons)]
    images = (*listing.left_out, *bad)
    if not rows:
        raise DataError(
            f"{listing.name} must hold images that can be used, but not one of {len(images):,} can "
            f"be (first: {images[0].name!r}: {images[0].reason}); mend them, or give other data"
        )
    labels, class_names = labels_of(listing, rows)
    there = set(class_names)
    lost = [class_left_out(name) for name in listing.classes if name not in there]
    return DataIndex(
        paths=tuple(listing.paths[row] for row in rows),
        names=tuple(listing.names[row] for row in rows),
        labels=labels,
        class_names=class_names,
        splits=_splits(listing, rows),
        widths=found.widths[good],
        heights=found.heights[good],
        grey=found.grey[good],
        digests=found.digests[good],
        groups=_groups(listing, rows),
        left_out=(*images, *lost),
        coarse=coarse_of(listing, class_names),
    )


def class_left_out(name: str) -> LeftOut:
    """The note on a class that is not used."""
    return LeftOut(name, "no image of this class is left", "class")


def _splits(listing: Listing, rows: list[int]) -> npt.NDArray[np.int8] | None:
    if listing.splits is None:
        return None
    return np.array([SPLITS.index(listing.splits[row]) for row in rows], dtype=np.int8)


def _groups(listing: Listing, rows: list[int]) -> Ints | None:
    """Numbers of the groups that were named; an image without one is a group of its own."""
    if listing.groups is None:
        return None
    names = [listing.groups[row] or f"\0{row}" for row in rows]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
