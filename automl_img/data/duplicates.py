"""Copies of images, exact and near ones, and the groups that they make.

Near ones are found in two steps. Perceptual hashes say who may be alike: two images are candidates
if they agree in all of some 16 bits of their 64, for one of several choices of these (locality
sensitive hashing, Indyk and Motwani 1998, https://doi.org/10.1145/276698.276876), and differ in few
bits in all. Then their thumbnails decide, by the correlation of their gradients: of 7,447
candidates among the 60,000 images of CIFAR-10 this told pairs of one class from pairs of two better
than that of grey levels or colours (docs/audit.md). Time and memory are linear in the images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from automl_img.data.appearance import Appearances

Ints = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]

# Below it an image is of one colour: the rest is noise of the camera or of compression.
FLAT_CONTRAST = 4.0
_TABLES = 12
_BITS = 16
_MOST_BITS_APART = 12
_LEAST_CORRELATION = 0.6
# Drawings, digits and scans of one kind are alike without being copies; copies of grey images that
# were compressed or made smaller stay above this.
_LEAST_CORRELATION_OF_GREY = 0.95
# Of the mean of a colour: a product in red is no copy of the same in blue.
_MOST_LEVELS_APART = 40
# In a table an image is compared with so many after it: thousands that all agree would take for
# ever, and are one group anyway.
_MOST_NEIGHBOURS = 16
_PAIRS_AT_ONCE = 10_000


def near_pairs(appearances: Appearances) -> Pairs:
    """Pairs of images that look the same, enough to join all that do; those of one colour are not
    compared.

    Args:
        appearances: ``APPEARANCE``, (images,).

    Returns:
        int64 (pairs, 2): rows, the first below the second.
    """
    rows = np.flatnonzero(appearances["contrast"] >= FLAT_CONTRAST)
    hashes = appearances["hash"][rows]
    found = np.empty((0, 2), dtype=np.int64)
    rng = np.random.default_rng(0)
    for _ in range(_TABLES):
        mask = np.uint64(sum(1 << int(bit) for bit in rng.choice(64, _BITS, replace=False)))
        pairs = rows[_candidates(hashes, mask)]
        # What is joined already need not be looked at again: of thousands that are alike there are
        # millions of pairs.
        joined = groups_of(len(appearances), found)
        pairs = pairs[joined[pairs[:, 0]] != joined[pairs[:, 1]]]
        found = np.concatenate([found, pairs[_look_alike(appearances, pairs)]])
    return found


def groups_of(count: int, pairs: Pairs) -> Ints:
    """A number for each of ``count`` images, the same where a chain of pairs joins them.

    Args:
        pairs: int64 (pairs, 2), rows.

    Returns:
        int64 (count,), from 0; numbers ascend with the first image of each group.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=np.bool_)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, numbers = connected_components(graph, directed=False)
    firsts, inverse = np.unique(numbers, return_index=True, return_inverse=True)[1:]
    order = np.empty(len(firsts), dtype=np.int64)
    order[np.argsort(firsts)] = np.arange(len(firsts))
    return order[inverse]


def identical_pairs(digests: npt.NDArray[np.uint8]) -> Pairs:
    """Pairs of neighbours among files of the same content; see ``near_pairs``.

    Args:
        digests: uint8 (images, 16).
    """
    halves = np.ascontiguousarray(digests).view(np.uint64)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    same = (halves[order][1:] == halves[order][:-1]).all(axis=1)
    return _sorted(np.stack([order[:-1][same], order[1:][same]], axis=1))


def _candidates(hashes: npt.NDArray[np.uint64], mask: np.uint64) -> Pairs:
    """Places in ``hashes`` that agree in the bits of ``mask`` and differ in few in all."""
    keys = hashes & mask
    # By the other bits within a key, so that the nearest are mostly neighbours.
    order = np.lexsort((hashes, keys))
    found = [np.empty((0, 2), dtype=np.int64)]
    for apart in range(1, _MOST_NEIGHBOURS + 1):
        same = keys[order][apart:] == keys[order][:-apart]
        if not same.any():
            break
        pairs = np.stack([order[:-apart][same], order[apart:][same]], axis=1)
        bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
        found.append(_sorted(pairs[bits <= _MOST_BITS_APART]))
    return np.concatenate(found)


def _look_alike(appearances: Appearances, pairs: Pairs) -> npt.NDArray[np.bool_]:
    """Whether the thumbnails of each pair decide for it; bool (pairs,)."""
    alike = np.zeros(len(pairs), dtype=np.bool_)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = appearances[pairs[start : start + _PAIRS_AT_ONCE]]
        one, other = (_gradients(some["thumbnail"][:, side]) for side in (0, 1))
        colours = some["colour"].astype(np.int64)
        apart = np.abs(colours[:, 0] - colours[:, 1]).max(axis=1)
        grey = (colours == colours[:, :, :1]).all(axis=(1, 2))
        least = np.where(grey, _LEAST_CORRELATION_OF_GREY, _LEAST_CORRELATION)
        found = ((one * other).sum(axis=1) >= least) & (apart <= _MOST_LEVELS_APART)
        alike[start : start + len(some)] = found
    return alike


def _gradients(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Differences of neighbours, down and across, of mean 0 and length 1; float32 (images, 450)."""
    grey = thumbnails.astype(np.float32)
    down, across = np.diff(grey, axis=1)[:, :, :-1], np.diff(grey, axis=2)[:, :-1]
    found = np.stack([down, across], axis=1).reshape(len(grey), -1)
    found -= found.mean(axis=1, keepdims=True)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found


def _sorted(pairs: Pairs) -> Pairs:
    return np.sort(pairs, axis=1)
