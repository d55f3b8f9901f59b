"""Training, validation and test images: those that come with the data, and what is missing, cut.

    came with the data        cut
    nothing                   80 % training, 10 % validation, 10 % test
    train                     the same, out of train
    train, test               validation: 1/9 of train (10 of 90)
    train, validation         test: 1/9 of train
    train, validation, test   nothing

A cut is stratified (by class), seeded, and keeps copies of an image together; where nobody has
looked for copies, identical files of a class. A class with three different images or more in the
pool has at least one in each part; one with fewer goes to training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automl_img import labels as label_sets
from automl_img.data.index import DataIndex, Ints, Mask
from automl_img.data.listing import SPLITS
from automl_img.errors import DataError
from automl_img.labels import Labels

FRACTION = 0.1
FRACTION_OF_TRAIN = 1 / 9
FEWEST = 3
# With fewer labels some that stand for one image alone are small classes.
FEWEST_OF_VALUES = 20
_OF_SEVERAL_CLASSES = 0.01
_TIE = 1e-6


@dataclass(frozen=True)
class Split:
    """Rows of a ``DataIndex``, int64, ascending, each row in at most one part."""

    train: Ints
    validation: Ints
    test: Ints

    def parts(self) -> dict[str, Ints]:
        """The rows by the name of the part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def keep(self, kept: Mask) -> Split:
        """The rows as they are numbered after those that are not ``kept`` went."""
        number = np.cumsum(kept) - 1
        return Split(*(number[rows[kept[rows]]] for rows in self.parts().values()))


def cut(index: DataIndex, seed: int) -> Split:
    """The parts of ``index``.

    Raises:
        DataError: the labels are no classes, there is no training split, fewer than two classes in
            it, or too few images.
    """
    _check_labels(index)
    given = _given(index)
    if not len(given["train"]):
        raise DataError(
            "the data must have training images, but all come as validation or test; "
            "mend the splits, or give the data without any"
        )
    missing = [part for part in ("validation", "test") if not len(given[part])]
    if missing:
        fraction = FRACTION if len(missing) == 2 else FRACTION_OF_TRAIN
        taken = _cut_away(index, given["train"], missing, fraction, seed)
        given = {**given, **taken}
    split = Split(given["train"], given["validation"], given["test"])
    check(index, split)
    return split


def check(index: DataIndex, split: Split) -> None:
    """Whether there is enough to train and to measure.

    Raises:
        DataError: there is not.
    """
    counts = label_sets.count(index.labels[split.train], len(index.class_names))
    trained = np.flatnonzero(counts)
    several = label_sets.are_sets(index.labels)
    if len(trained) < 2:
        names = [index.class_names[label] for label in trained]
        raise DataError(
            "classification needs training images of at least two classes, but there "
            + (f"is only one class: {names[0]!r}" if names else "is none")
            + ("; whether images have it may be a --label-column" if several and names else "")
        )
    for name, rows in split.parts().items():
        if not len(rows):
            raise DataError(
                f"too few images to split: none is left for {name}; give a class with at least "
                f"{FEWEST} different images, or more of them"
            )


def _check_labels(index: DataIndex) -> None:
    """
    Raises:
        DataError: most images have a label of their own, as values and names are.
    """
    alone = np.flatnonzero(index.class_counts == 1)
    names, images = index.class_names, len(alone)
    if label_sets.are_sets(index.labels):
        images = int((index.labels[:, alone].sum(axis=1) > 0).sum())
    if len(names) < FEWEST_OF_VALUES or images <= len(index) / 2:
        return
    found = f"{images:,} of {len(index):,} images have a label of their own"
    first = names[alone[0]]
    if all(map(_is_number, names)):
        raise DataError(
            f"labels must be classes, but {found} and all are numbers, as {first!r}; to predict "
            "numbers (regression) is not what this tool does"
        )
    raise DataError(
        f"labels must be classes of several images each, but {found}, as {first!r}; name the "
        "column of classes with --label-column, or give more images"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _given(index: DataIndex) -> dict[str, Ints]:
    if index.splits is None:
        empty = np.zeros(0, dtype=np.int64)
        return {"train": np.arange(len(index)), "validation": empty, "test": empty}
    return {name: np.flatnonzero(index.splits == at) for at, name in enumerate(SPLITS)}


def _cut_away(
    index: DataIndex, pool: Ints, missing: list[str], fraction: float, seed: int
) -> dict[str, Ints]:
    """The rows of ``pool`` for each of ``missing``, and what stays for "train"."""
    group_of = grouped(index, pool)
    names = ["train", *missing]
    labels = index.labels[pool]
    if label_sets.are_sets(labels) or _spans_classes(group_of, labels):
        shares = [1 - len(missing) * fraction, *[fraction] * len(missing)]
        parts = _balanced(group_of, labels, shares, seed)[group_of]
        return {name: pool[parts == number] for number, name in enumerate(names)}
    firsts = np.unique(group_of, return_index=True)[1]
    part_of_group = np.zeros(len(firsts), dtype=np.int64)
    # Groups are numbered class by class, so each class is one stretch of them.
    label_of_group = labels[firsts]
    starts = np.flatnonzero(np.diff(label_of_group, prepend=-1))
    for groups in np.split(np.arange(len(firsts)), starts[1:]):
        if len(groups) < FEWEST:
            continue
        label = int(label_of_group[groups[0]])
        rng = np.random.default_rng(np.random.SeedSequence([seed, label]))
        shuffled = rng.permutation(groups)
        each = max(1, int(len(groups) * fraction + 0.5))
        for number in range(len(missing)):
            part_of_group[shuffled[number * each : (number + 1) * each]] = number + 1
    part_of = part_of_group[group_of]
    return {name: pool[part_of == number] for number, name in enumerate(names)}


def _spans_classes(group_of: Ints, labels: Labels) -> bool:
    """Whether more than a hundredth of the images are in groups of several classes, as patients are
    and copies seldom."""
    groups, _, _ = _by_group_and_class(group_of, labels)
    several = np.bincount(groups) > 1
    return bool(several[group_of].mean() > _OF_SEVERAL_CLASSES)


def _by_group_and_class(group_of: Ints, labels: Labels) -> tuple[Ints, Ints, Ints]:
    """(group, class, images) of each pair that there is, ascending; int64 (pairs,) each. To have
    none of several classes is one more."""
    if label_sets.are_sets(labels):
        classes = labels.shape[1] + 1
        rows, places = np.nonzero(np.column_stack([labels, labels.sum(axis=1) == 0]))
        group_of = group_of[rows]
    else:
        classes, places = int(labels.max()) + 1, labels
    # One number a pair: NumPy sorts rows ten times slower.
    keys, images = np.unique(group_of * classes + places, return_counts=True)
    return keys // classes, keys % classes, images


def _balanced(group_of: Ints, labels: Labels, shares: list[float], seed: int) -> Ints:
    """The part of each group, the largest groups first: the one that lacks most of its classes. Of
    images with several classes the rarest decides, and those with the rarest come first.

    The idea is that of scikit-learn's ``StratifiedGroupKFold``, for parts of different sizes; of
    images with several classes that of K. Sechidis et al., On the stratification of multi-label
    data, ECML PKDD 2011 (https://doi.org/10.1007/978-3-642-23808-6_10).

    Args:
        shares: of the parts, sum 1.

    Returns:
        int64 (groups,), places in ``shares``.
    """
    groups, classes_of, counts = _by_group_and_class(group_of, labels)
    edges = np.searchsorted(groups, np.arange(groups[-1] + 2))
    sizes = np.bincount(group_of)
    in_all = np.bincount(classes_of, weights=counts)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    lacking = np.outer(shares, in_all)
    order = np.lexsort((shuffled, -sizes))
    sets = label_sets.are_sets(labels)
    if sets:
        rarest = np.minimum.reduceat(in_all[classes_of], edges[:-1])
        order = np.lexsort((shuffled, rarest, -sizes))
        # Of a class with as many images as there are parts each should get one.
        enough = in_all >= len(shares)
        lacking[1:, enough] = np.maximum(lacking[1:, enough], 1.0)
        lacking[0] = in_all - lacking[1:].sum(axis=0)
    part_of = np.zeros(len(sizes), dtype=np.int64)
    for group in order.tolist():
        own = slice(edges[group], edges[group + 1])
        classes, images = classes_of[own], counts[own]
        lack = lacking[:, classes]
        rare = in_all[classes].argmin()
        # Where parts lack as much of the rarest class the others decide.
        need = lack[:, rare] + _TIE * lack.sum(axis=1) if sets else lack / in_all[classes] @ images
        part = int(need.argmax())
        lacking[part, classes] -= images
        part_of[group] = part
    # Of few groups none may be left for a small part: the smallest of training goes there.
    empty = np.setdiff1d(np.arange(len(shares)), part_of)
    spare = order[::-1][part_of[order[::-1]] == 0][:-1]
    part_of[spare[: len(empty)]] = empty[: len(spare)]
    return part_of


def seen_in_training(index: DataIndex, split: Split) -> int:
    """How many validation and test images are byte for byte one of the training images."""
    trained = {digest.tobytes() for digest in index.digests[split.train]}
    others = np.concatenate([split.validation, split.test])
    return sum(digest.tobytes() in trained for digest in index.digests[others])


def grouped(index: DataIndex, rows: npt.NDArray[np.int64]) -> Ints:
    """A number for each of ``rows``, equal for those that stay together.

    Numbers follow class and content, not the order of the files, so that a renamed file does not
    change a cut. Copies of different classes count for the first of these.
    """
    halves = np.ascontiguousarray(index.digests[rows]).view(np.uint64)
    keys = (halves[:, 1], halves[:, 0], label_sets.numbers(index.labels[rows]))
    order = np.lexsort(keys)
    if index.groups is not None:
        groups = index.groups[rows][order]
    else:
        new = np.zeros(len(rows), dtype=np.int64)
        for key in keys:
            new[1:] |= key[order][1:] != key[order][:-1]
        groups = np.cumsum(new)
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    numbers = np.empty(len(rows), dtype=np.int64)
    numbers[order] = np.argsort(np.argsort(firsts))[inverse]
    return numbers
