"""Copies of images, kept in one part and counted once in the test.

For that all images are looked at, those for the test too: at 32 pixels, for hashes and thumbnails,
by nothing that trains or chooses.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from automl_img.data.appearance import Appearances
from automl_img.data.appearances import read_appearances
from automl_img.data.duplicates import groups_of, identical_pairs, near_pairs
from automl_img.data.index import DataIndex, Ints
from automl_img.data.split import Split
from automl_img.events import Listener, ignore

# Pixels a side: of smaller images nobody can tell whether two are copies, but for exact ones.
SMALLEST_COMPARED = 16
TWICE_IN_TEST = "a copy of another test image"
IN_A_LATER_PART = "a copy of a validation or test image"
COPIES = (IN_A_LATER_PART, TWICE_IN_TEST)


def with_copies(
    index: DataIndex, cache: Path, listener: Listener = ignore
) -> tuple[DataIndex, Appearances]:
    """``index`` with the groups of copies, without what cannot be decoded; and what the images look
    like, ``APPEARANCE``, (images,).

    Raises:
        DataError: the cache cannot be written, or a file has changed since it was indexed.
    """
    looks, failed = read_appearances(index.paths, index.digests, cache, listener)
    if failed:
        kept = np.setdiff1d(np.arange(len(index)), np.array(list(failed), dtype=np.int64))
        index, looks = index.without(list(failed), list(failed.values())), looks[kept]
    return dataclasses.replace(index, groups=_groups(index, looks)), looks


def keep_apart(index: DataIndex, split: Split) -> tuple[DataIndex, Split]:
    """Without copies in two parts, and without images that are twice in the test.

    Of copies that came in several parts those in the last one stay: a test set is what others
    measure by, and what goes from training is little.
    """
    assert index.groups is not None
    last = np.zeros(int(index.groups.max(initial=0)) + 1, dtype=np.int64)
    part = np.zeros(len(index), dtype=np.int64)
    for number, rows in enumerate(split.parts().values()):
        part[rows] = number
        last[index.groups[rows]] = number
    earlier = np.flatnonzero(part < last[index.groups])
    _, firsts = np.unique(index.groups[split.test], return_index=True)
    again = np.delete(split.test, firsts)
    gone = np.concatenate([earlier, again])
    if not len(gone):
        return index, split
    kept = np.ones(len(index), dtype=np.bool_)
    kept[gone] = False
    reasons = [IN_A_LATER_PART] * len(earlier) + [TWICE_IN_TEST] * len(again)
    return index.without(gone, reasons), split.keep(kept)


def _groups(index: DataIndex, looks: Appearances) -> Ints:
    large = np.flatnonzero(np.minimum(index.widths, index.heights) >= SMALLEST_COMPARED)
    near = large[near_pairs(looks[large])]
    return groups_of(len(index), np.concatenate([identical_pairs(index.digests), near]))
