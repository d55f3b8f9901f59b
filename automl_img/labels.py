"""What images show: one class each, or a set of classes each.

Labels are int64 of shape (images,), places in the class names; or of images that may have several,
one or none, uint8 of shape (images, classes), 1 where an image has a class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


def are_sets(labels: Labels) -> bool:
    """Whether an image may have several classes."""
    return labels.ndim == 2


def count(labels: Labels, classes: int) -> Ints:
    """Images of each class, int64 (classes,).

    Args:
        classes: how many there are.
    """
    if are_sets(labels):
        return np.asarray(labels.sum(axis=0, dtype=np.int64))
    return np.bincount(labels, minlength=classes)


def has(labels: Labels, label: int) -> npt.NDArray[np.bool_]:
    """Which images are of the class ``label``, bool (images,)."""
    found: npt.NDArray[np.bool_] = labels[:, label] > 0 if are_sets(labels) else labels == label
    return found


def numbers(labels: Labels) -> Ints:
    """An int64 for each image, the same for those with the same labels."""
    if not are_sets(labels):
        return labels
    packed = np.ascontiguousarray(np.packbits(labels, axis=1))
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    return np.unique(rows, return_inverse=True)[1].astype(np.int64)


def names(row: Any, class_names: tuple[str, ...]) -> list[str]:
    """The classes of one image by their names: one, or of a set all.

    Args:
        row: an item of labels: an integer, or uint8 (classes,).
    """
    if np.ndim(row):
        return [class_names[label] for label in np.flatnonzero(row).tolist()]
    return [class_names[int(row)]]
