"""From the names in a listing to labels, and what is done with these."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from automl_img import labels as label_sets
from automl_img.data.listing import Listing
from automl_img.errors import DataError
from automl_img.labels import Ints, Labels

# What may stand between the classes of an image: the part of the labels that has it at the least,
# and how many names there are at the most to each different label. Names have commas too.
_SEPARATORS = {"|": (0.1, 1.0), ";": (0.1, 1.0), ",": (0.25, 2 / 3)}


def labels_of(listing: Listing, rows: list[int]) -> tuple[Labels, tuple[str, ...]]:
    """The labels of ``rows``, and the names of their classes.

    Raises:
        DataError: there is no class.
    """
    texts = [listing.labels[row] for row in rows]
    separator = listing.separator
    # Images share few different labels, so each is taken apart once.
    parts = {text: text.split(separator) if separator and text else [text] for text in set(texts)}
    names = {name for each in parts.values() for name in each}
    class_names = sorted(names - {""} if separator else names, key=natural)
    if not class_names:
        raise DataError(
            f"labels of {listing.name} must name classes, but all are empty; name their column "
            "with --label-column or --label-columns"
        )
    place = {name: at for at, name in enumerate(class_names)}
    if separator is None:
        return np.array([place[text] for text in texts], dtype=np.int64), tuple(class_names)
    labels = np.zeros((len(texts), len(class_names)), dtype=np.uint8)
    places = {text: [place[name] for name in each if name] for text, each in parts.items()}
    for row, text in enumerate(texts):
        labels[row, places[text]] = 1
    return labels, tuple(class_names)


def natural(name: str) -> tuple[list[str | int], str]:
    """A sort key by which "image 2" comes before "image 10"; case counts only among equals."""
    parts = re.split(r"([0-9]+)", name)
    keys = [int(part) if at % 2 else part.casefold() for at, part in enumerate(parts)]
    return keys, name


def renumbered(labels: Labels, used: Ints) -> Labels:
    """``labels`` where of all classes only ``used`` are left."""
    if label_sets.are_sets(labels):
        return labels[:, used]
    return np.searchsorted(used, labels).astype(np.int64)


def coarse_of(listing: Listing, class_names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The coarser class that each class belongs to; None where none came.

    Raises:
        DataError: a class belongs to no coarser one.
    """
    coarse = listing.coarse
    if coarse is None:
        return None
    if alone := [name for name in class_names if name not in coarse]:
        raise DataError(
            f"each class must belong to a coarser class, but {alone[0]!r} of {listing.name} has "
            "none in any row; mend it, or leave out --coarse-column"
        )
    return tuple(coarse[name] for name in class_names)


def filled_up(labels: Labels, most: int) -> Ints:
    """Places of images taken in their order, each where one of its classes has fewer than ``most``
    by then; those without a class count as one."""
    whole = np.column_stack([labels, labels.sum(axis=1) == 0]).astype(np.uint8)
    taken, counts = [], np.zeros(whole.shape[1], dtype=np.int64)
    for place, row in enumerate(whole):
        if (counts[row > 0] < most).any():
            counts += row
            taken.append(place)
    return np.array(taken, dtype=np.int64)


def likely_separator(labels: Iterable[str]) -> tuple[str, float] | None:
    """What seems to stand between the classes of an image, and the part of the labels that has it.

    Sets of classes are made of few names: taken apart, labels give no more names than there are
    different labels, of commas two thirds. Names that merely have a comma in them give more.
    """
    counts = Counter(labels)
    for separator, (least, most) in _SEPARATORS.items():
        parts = {
            label: [part.strip() for part in label.split(separator) if part.strip()]
            for label in counts
        }
        share = sum(counts[label] for label, each in parts.items() if len(each) > 1)
        names = {name for each in parts.values() for name in each}
        if share >= least * max(counts.total(), 1) and len(names) <= most * len(counts):
            return separator, share / counts.total()
    return None
