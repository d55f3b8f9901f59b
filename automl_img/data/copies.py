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
from automl_img.data.duplicates import Pairs, groups_of, identical_pairs, near_pairs
from automl_img.data.index import DataIndex, Ints
from automl_img.data.split import Split
from automl_img.errors import DataError
from automl_img.events import Listener, ignore

# Pixels a side: of smaller images nobody can tell whether two are copies, but for exact ones.
SMALLEST_COMPARED = 16
TWICE_IN_TEST = "a copy of another test image"
IN_A_LATER_PART = "a copy of a validation or test image"
OF_A_GROUP = "its group has validation or test images"
REASONS = (IN_A_LATER_PART, TWICE_IN_TEST, OF_A_GROUP)


def with_copies(
    index: DataIndex, cache: Path, listener: Listener = ignore
) -> tuple[DataIndex, Appearances]:
    """``index`` with the groups of copies, without what cannot be decoded; and what the images look
    like, ``APPEARANCE``, (images,).

    Raises:
        DataError: not one image can be decoded, the cache cannot be written, or a file has changed
            since it was indexed.
    """
    looks, failed = read_appearances(index.paths, index.digests, cache, listener)
    if failed:
        kept = np.setdiff1d(np.arange(len(index)), np.array(list(failed), dtype=np.int64))
        index, looks = index.without(list(failed), list(failed.values())), looks[kept]
    if not len(index):
        first = index.left_out[0]
        raise DataError(
            f"not one image can be decoded (first: {first.name!r}: {first.reason}); mend them, or "
            "give other data"
        )
    large = np.flatnonzero(np.minimum(index.widths, index.heights) >= SMALLEST_COMPARED)
    near = large[near_pairs(looks[large])]
    pairs = np.concatenate([identical_pairs(index.digests), near])
    copies = groups_of(len(index), pairs)
    groups = copies
    if index.groups is not None:
        groups = groups_of(len(index), np.concatenate([pairs, _neighbours(index.groups)]))
    return dataclasses.replace(index, groups=groups, copies=copies), looks


def keep_apart(index: DataIndex, split: Split) -> tuple[DataIndex, Split]:
    """Without copies in two parts, without groups in two, and without images that are twice in the
    test.

    Of what came in several parts the last one keeps it: a test set is what others measure by, and
    what goes from training is little.
    """
    reasons: dict[int, str] = {}
    if index.groups is not None:
        reasons.update(dict.fromkeys(_in_later_parts(index.groups, split), OF_A_GROUP))
    if index.copies is not None:
        reasons.update(dict.fromkeys(_in_later_parts(index.copies, split), IN_A_LATER_PART))
        _, firsts = np.unique(index.copies[split.test], return_index=True)
        reasons.update(dict.fromkeys(np.delete(split.test, firsts).tolist(), TWICE_IN_TEST))
    if not reasons:
        return index, split
    kept = np.ones(len(index), dtype=np.bool_)
    kept[list(reasons)] = False
    return index.without(list(reasons), list(reasons.values())), split.keep(kept)


def _in_later_parts(groups: Ints, split: Split) -> list[int]:
    """Rows of which others of the same group are in a later part."""
    last = np.zeros(int(groups.max(initial=0)) + 1, dtype=np.int64)
    part = np.zeros(len(groups), dtype=np.int64)
    for number, rows in enumerate(split.parts().values()):
        part[rows] = number
        last[groups[rows]] = np.maximum(last[groups[rows]], number)
    found: list[int] = np.flatnonzero(part < last[groups]).tolist()
    return found


def _neighbours(groups: Ints) -> Pairs:
    """Pairs that join each group in a chain."""
    order = np.argsort(groups, kind="stable")
    same = groups[order][1:] == groups[order][:-1]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)
