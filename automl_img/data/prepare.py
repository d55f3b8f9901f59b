"""From what the user named to pixels that can be trained on, as one straight line."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl_img import labels as label_sets
from automl_img.data import split as splits
from automl_img.data.audit import Audit, Finding, imbalanced
from automl_img.data.cache import cache_root
from automl_img.data.copies import OF_A_GROUP, REASONS, keep_apart, with_copies
from automl_img.data.index import DataIndex, Ints, Mask, indexed
from automl_img.data.listing import LeftOut, Listing, as_sentence
from automl_img.data.pixels import PixelCache, build_pixels
from automl_img.data.sealed import SealedTest
from automl_img.data.split import Split
from automl_img.events import Listener, Notice, ignore
from automl_img.settings import SearchSettings


@dataclass(frozen=True)
class Prepared:
    """All that a search needs of its data; of the test images, only how many there are.

    Attributes:
        name: short, for the run's name.
        kind: the source, as in ``Listing``.
        index: the images used, test images among them: names and labels, no pixels.
        split: rows of ``index``.
        pixels: the training and validation images, and no other.
        cache_rows: int64, one for each row of ``index``: its row in ``pixels``; -1 for test.
        image_size: side in pixels.
        channels: 1 or 3.
        flips: whether a mirrored image keeps its class.
        test: the test images, sealed.
        notices: what the user was told of the images.
        findings: of the audit, the worst first, without the images that show them.
    """

    name: str
    kind: str
    index: DataIndex
    split: Split
    pixels: PixelCache
    cache_rows: Ints
    image_size: int
    channels: int
    flips: bool
    test: SealedTest
    notices: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return self.index.class_names

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Images and classes that are not used; opening the test images may find more."""
        return self.index.left_out

    @property
    def class_counts(self) -> dict[str, tuple[int, ...]]:
        """Images of each class, by part."""
        most = len(self.class_names)
        return {
            part: tuple(label_sets.count(self.index.labels[rows], most).tolist())
            for part, rows in self.split.parts().items()
        }

    @property
    def is_imbalanced(self) -> bool:
        """Whether the audit finds that some classes have far fewer images than others."""
        return imbalanced(self.index.class_counts)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several classes."""
        return label_sets.are_sets(self.index.labels)

    @property
    def names_of_validation(self) -> tuple[str, ...]:
        """Names in the order of ``rows_arrays()["validation"]``."""
        return tuple(self.index.names[row] for row in self.split.validation.tolist())

    def rows_arrays(self) -> dict[str, Any]:
        """Rows of ``pixels``, int64: "train", "validation"; and "labels", see
        ``automl_img.labels``, one a row, where one that is not used has -1 or no class."""
        of_all = self.index.labels
        unused = 0 if self.multi_label else -1
        shape = (len(self.pixels.images), *of_all.shape[1:])
        labels = np.full(shape, unused, dtype=of_all.dtype)
        used = self.cache_rows >= 0
        labels[self.cache_rows[used]] = self.index.labels[used]
        return {
            "train": self.cache_rows[self.split.train],
            "validation": self.cache_rows[self.split.validation],
            "labels": labels,
        }


def prepare(settings: SearchSettings, listener: Listener = ignore) -> Prepared:
    """Find, read, split and decode the images that ``settings`` name.

    Test images are opened here for their header and digest, and looked at for copies
    (``automl_img.data.copies``); what a model sees of them is decoded by ``SealedTest.open`` and
    nowhere else.

    Raises:
        DataError: the images cannot be used.
        SettingsError: a column was named that is not there.
    """
    cache = cache_root()
    listing, index, split, findings = cut_up(settings, cache, listener)
    size = settings.image_size or index.image_size
    channels = index.channels
    index, split, pixels, cache_rows = _decode(index, split, size, channels, cache, listener)
    splits.check(index, split)
    notices = _notices(listing, index, split)
    for notice in notices:
        listener(Notice(notice))
    return Prepared(
        name=listing.name,
        kind=listing.kind,
        index=index,
        split=split,
        pixels=pixels,
        cache_rows=cache_rows,
        image_size=size,
        channels=channels,
        flips=mirrored_keeps_class(listing, index),
        test=_seal(index, split, size, channels, cache),
        notices=notices,
        findings=findings,
    )


def cut_up(
    settings: SearchSettings, cache: Path, listener: Listener
) -> tuple[Listing, DataIndex, Split, tuple[Finding, ...]]:
    """The images that ``settings`` name, the parts that a search has of them, and what is wrong
    with them; nothing where nobody looks for copies.

    Raises:
        DataError, SettingsError: see ``prepare``.
    """
    listing, index = indexed(settings, cache, listener)
    # Before labels that are no classes as they stand are refused.
    if listing.hint:
        listener(Notice(listing.hint))
    found: tuple[Finding, ...] = ()
    if settings.keep_copies:
        split = splits.cut(index, settings.seed)
    else:
        index, looks = with_copies(index, cache, listener)
        split = splits.cut(index, settings.seed)
        audit = Audit(listing.name, listing.kind, index, split, looks, hint=listing.hint)
        # Rows that leave below have no number any more.
        found = tuple(replace(finding, groups=()) for finding in audit.findings)
    index, split = _drop_untrained(*keep_apart(index, split))
    return listing, index, split, found


def mirrored_keeps_class(listing: Listing, index: DataIndex) -> bool:
    """A guess of whether a mirrored image is still of its class.

    Not for grey images (digits, letters, scans; fashion_mnist is known to be none of these), not
    where classes are single digits or letters, and not where one is called left or right.
    """
    if index.channels == 1 and (listing.kind, listing.name) != ("builtin", "fashion_mnist"):
        return False
    names = index.class_names
    if all(len(name) == 1 and name.isalnum() for name in names):
        return False
    sided = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)
    return not any(sided.search(name) for name in names)


def _drop_untrained(index: DataIndex, split: Split) -> tuple[DataIndex, Split]:
    """Without the validation and test images of classes that have no training image; where images
    have several classes, without such classes."""
    if label_sets.are_sets(index.labels):
        lost = np.flatnonzero(index.labels[split.train].sum(axis=0) == 0)
        return (index.without_classes(lost) if len(lost) else index), split
    trained = _trained(index, split)
    if trained.all():
        return index, split
    shorter = index.without(np.flatnonzero(~trained), "its class has no training image")
    return shorter, split.keep(trained)


def _decode(
    index: DataIndex, split: Split, size: int, channels: int, cache: Path, listener: Listener
) -> tuple[DataIndex, Split, PixelCache, Ints]:
    """Decode the training and validation images; what fails goes from index and split."""
    rows = np.sort(np.concatenate([split.train, split.validation]))
    paths = [index.paths[row] for row in rows.tolist()]
    pixels = build_pixels(paths, index.digests[rows], size, channels, cache, listener)
    cache_rows = np.full(len(index), -1, dtype=np.int64)
    cache_rows[rows] = np.arange(len(rows))
    failed = pixels.failed
    if not failed:
        return index, split, pixels, cache_rows
    gone = rows[np.array(list(failed), dtype=np.int64)]
    kept = np.ones(len(index), dtype=np.bool_)
    kept[gone] = False
    index, split = index.without(gone, list(failed.values())), split.keep(kept)
    cache_rows = cache_rows[kept]
    trained = _trained(index, split)
    index, split = _drop_untrained(index, split)
    return index, split, pixels, cache_rows[trained]


def _trained(index: DataIndex, split: Split) -> Mask:
    """Which images have a class that is trained, or may have several."""
    if label_sets.are_sets(index.labels):
        return np.ones(len(index), dtype=np.bool_)
    return np.isin(index.labels, index.labels[split.train])


def _seal(index: DataIndex, split: Split, size: int, channels: int, cache: Path) -> SealedTest:
    rows = split.test
    return SealedTest(
        paths=tuple(index.paths[row] for row in rows.tolist()),
        names=tuple(index.names[row] for row in rows.tolist()),
        labels=index.labels[rows],
        digests=index.digests[rows],
        size=size,
        channels=channels,
        cache=cache,
    )


def _notices(listing: Listing, index: DataIndex, split: Split) -> tuple[str, ...]:
    notices = []
    images = [item for item in index.left_out if item.what == "image"]
    classes = [item.name for item in index.left_out if item.what == "class"]
    moved = Counter(item.reason for item in images if item.reason in REASONS)
    images = [item for item in images if item.reason not in REASONS]
    for reason, count in sorted(moved.items()):
        hint = "" if reason == OF_A_GROUP else "; --keep-copies leaves them in"
        notices.append(
            f"{count:,} image{'s were' if count > 1 else ' was'} left out ({reason}){hint}"
        )
    if images:
        total = len(listing.paths) + len(listing.left_out)
        notices.append(
            f"{len(images):,} of {total:,} images were left out "
            f"(first: {images[0].name}: {images[0].reason}); all are listed in left_out.jsonl"
        )
    if classes:
        notices.append(
            f"{len(classes):,} class{'es' if len(classes) > 1 else ''} without any training image "
            f"left out: {as_sentence(classes)}"
        )
    if label_sets.are_sets(index.labels) and index.labels.sum(axis=1).max(initial=0) < 2:
        notices.append(
            "no image has more than one class, though each may have several: does the separator "
            "stand in the labels?"
        )
    if repeated := splits.seen_in_training(index, split):
        notices.append(
            f"{repeated:,} validation or test images are identical to a training image, which "
            "makes the scores look better than they are; remove the copies for an honest measure"
        )
    return tuple(notices)
