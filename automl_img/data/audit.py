"""What is wrong with a data set, told before anything is trained on it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from automl_img import labels as label_sets
from automl_img.data.appearance import Appearances
from automl_img.data.cache import cache_root
from automl_img.data.classes import natural
from automl_img.data.copies import with_copies
from automl_img.data.duplicates import FLAT_CONTRAST
from automl_img.data.index import DataIndex, Ints, Mask, indexed
from automl_img.data.listing import SPLITS, as_sentence
from automl_img.data.split import Split, cut
from automl_img.data.wording import are, count, have, them
from automl_img.errors import DataError
from automl_img.events import Listener, ignore
from automl_img.settings import SearchSettings

# Grey levels: darker in the mean is hard to see.
DARK = 24.0
# Of the median sharpness of all images: a blur over a sixteenth of the side makes a tenth of it.
BLURRED = 0.25
# With fewer images of a class its accuracy can hardly be told.
TINY_CLASS = 20
# Times as many images as the smallest class has.
IMBALANCED = 3.0
_SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: a few words, as "conflicting labels"; docs/audit.md has all.
        severity: "error" spoils the figures of a search, "warning" may, "note" should be known.
        sentence: what it is, and what a search does about it.
        groups: rows of the images that show it, those that belong together in one tuple; the first
            few alone.
    """

    kind: str
    severity: str
    sentence: str
    groups: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Audit:
    """What was found out of a data set.

    Attributes:
        name, source: as in ``Listing``, its ``kind`` as the source.
        index: the images that can be used, with their copies.
        split: rows of ``index``; all are training images where it cannot be split.
        appearances: of ``index``.
        unusable: why a search cannot begin on it, or None.
        hint: as in ``Listing``.
    """

    name: str
    source: str
    index: DataIndex
    split: Split
    appearances: Appearances
    unusable: str | None = None
    hint: str = ""

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The worst first."""
        order = ("error", "warning", "note")
        found = [Finding("unusable", "error", self.unusable)] if self.unusable else []
        found += [Finding("divided labels", "warning", self.hint)] if self.hint else []
        found += itertools.chain(self._of_copies(), self._of_classes(), self._of_looks())
        return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images of each class, by part; of "all" where the data cannot be split."""
        return {part: self._by_class(rows) for part, rows in self.parts.items()}

    @cached_property
    def coarse_counts(self) -> dict[str, dict[str, int]] | None:
        """The same of each coarser class; None where there is none."""
        coarse = self.index.coarse
        if coarse is None:
            return None
        found = {part: dict.fromkeys(sorted(set(coarse), key=natural), 0) for part in self.counts}
        for part, of_classes in self.counts.items():
            for name, own in zip(coarse, of_classes.values(), strict=True):
                found[part][name] += own
        return found

    @property
    def parts(self) -> dict[str, Ints]:
        """Rows of each part; "all" where the data cannot be split."""
        return self.split.parts() if self.unusable is None else {"all": self.split.train}

    def _by_class(self, rows: Ints) -> dict[str, int]:
        names = self.index.class_names
        counts = label_sets.count(self.index.labels[rows], len(names)).tolist()
        return dict(zip(names, counts, strict=True))

    def to_json(self) -> dict[str, Any]:
        """All of it but the pixels, as it stands in ``data check --json``."""
        index, names = self.index, self.index.names
        return {
            "name": self.name,
            "source": self.source,
            "fingerprint": index.fingerprint,
            "images": len(index),
            "left_out": len(index.left_out),
            "classes": len(index.class_names),
            "multi_label": label_sets.are_sets(index.labels),
            "counts": self.counts,
            "coarse_counts": self.coarse_counts,
            "grey": int(index.grey.sum()),
            "widths": _quartiles(index.widths),
            "heights": _quartiles(index.heights),
            "findings": [
                {
                    "kind": finding.kind,
                    "severity": finding.severity,
                    "sentence": finding.sentence,
                    "images": [[names[row] for row in group] for group in finding.groups],
                }
                for finding in self.findings
            ],
        }

    def part_of(self, row: int) -> str:
        """The name of the part that an image is in; "" where the data cannot be split."""
        return SPLITS[self._parts[row]] if self.unusable is None else ""

    @cached_property
    def _parts(self) -> Ints:
        """int64 (images,), places in ``SPLITS``."""
        parts = np.zeros(len(self.index), dtype=np.int64)
        for number, rows in enumerate(self.split.parts().values()):
            parts[rows] = number
        return parts

    @cached_property
    def _groups(self) -> tuple[tuple[int, ...], ...]:
        """Rows of copies of each other, two at the least."""
        copies = self.index.copies
        assert copies is not None
        rows = np.flatnonzero(np.bincount(copies)[copies] > 1)
        if not len(rows):
            return ()
        rows = rows[np.argsort(copies[rows], kind="stable")]
        edges = np.flatnonzero(np.diff(copies[rows])) + 1
        return tuple(tuple(group.tolist()) for group in np.split(rows, edges))

    def _each_part_first(self, group: tuple[int, ...]) -> tuple[int, ...]:
        """The rows of a group, one of each part before the others: of many only some are shown."""
        firsts = {self._parts[row]: row for row in reversed(group)}
        return tuple(sorted(group, key=lambda row: (firsts[self._parts[row]] != row, row)))

    def _of_copies(self) -> Iterator[Finding]:
        parts, labels = self._parts, label_sets.numbers(self.index.labels)
        crossing = [group for group in self._groups if len(set(parts[list(group)])) > 1]
        if crossing:
            first = [parts[list(group)].min() for group in crossing]
            seen = Counter(
                self.part_of(row)
                for group, least in zip(crossing, first, strict=True)
                for row in group
                if parts[row] > least
            )
            whose = " and ".join(f"{count:,} {part}" for part, count in sorted(seen.items()))
            one = sum(seen.values()) == 1
            yield Finding(
                "copies across parts",
                "error",
                f"{whose} {'image is a copy' if one else 'images are copies'}, exact or nearly so, "
                "of images in another part, which makes scores look better than they are; a search "
                "leaves out those in the earlier one",
                tuple(map(self._each_part_first, crossing[:_SHOWN])),
            )
        conflicts = [group for group in self._groups if len(set(labels[list(group)])) > 1]
        if conflicts:
            yield Finding(
                "conflicting labels",
                "warning",
                f"{count(conflicts, 'group')} of copies {have(conflicts)} different labels, of "
                "which at most one is right",
                tuple(conflicts[:_SHOWN]),
            )
        if self._groups:
            copies = [row for group in self._groups for row in group[1:]]
            yield Finding(
                "copies",
                "note",
                f"{len(copies):,} of {len(self.index):,} images {are(copies)} a copy of another, "
                "exact or nearly so",
                self._groups[:_SHOWN],
            )

    def _of_classes(self) -> Iterator[Finding]:
        index, names = self.index, self.index.class_names
        unreadable = [item for item in index.left_out if item.what == "image"]
        if unreadable:
            first = unreadable[0]
            yield Finding(
                "unreadable",
                "warning",
                f"{count(unreadable, 'image')} cannot be used (first: {first.name}: "
                f"{first.reason})",
            )
        counts = index.class_counts
        tiny = [names[label] for label in np.flatnonzero(counts < TINY_CLASS).tolist()]
        if tiny:
            yield Finding(
                "tiny classes",
                "warning",
                f"{count(tiny, 'class')} {have(tiny)} fewer than {TINY_CLASS} images "
                f"({as_sentence(tiny)}): what is measured of them is mostly chance",
            )
        trained = label_sets.count(index.labels[self.split.train], len(names))
        untrained = [names[label] for label in np.flatnonzero(trained == 0).tolist()]
        if untrained and self.unusable is None:
            yield Finding(
                "untrained classes",
                "warning",
                f"{count(untrained, 'class')} {have(untrained)} no training image "
                f"({as_sentence(untrained)}); a search leaves {them(untrained)} out",
            )
        most, least = int(counts.argmax()), int(counts.argmin())
        if imbalanced(counts) and not label_sets.are_sets(index.labels):
            yield Finding(
                "imbalance",
                "note",
                f"the largest class, {names[most]}, has {counts[most]:,} images, the smallest, "
                f"{names[least]}, has {counts[least]:,}; unless --objective says otherwise a "
                "search compares by balanced accuracy, and --class-weights balanced or --search "
                "imbalance.oversampling=0..1 may help",
            )

    def _of_looks(self) -> Iterator[Finding]:
        looks = self.appearances
        flat: Mask = looks["contrast"] < FLAT_CONTRAST
        dark: Mask = ~flat & (looks["brightness"] < DARK)
        others = looks["sharpness"][~flat]
        least = BLURRED * float(np.median(others)) if len(others) else 0.0
        blurred: Mask = ~flat & ~dark & (looks["sharpness"] < least)
        for kind, found, how in (
            ("flat", flat, "of one colour"),
            ("dark", dark, "nearly black"),
            ("blurred", blurred, "far less sharp than the others"),
        ):
            rows = np.flatnonzero(found).tolist()
            if rows:
                groups = tuple((row,) for row in rows[:_SHOWN])
                yield Finding(kind, "note", f"{count(rows, 'image')} {are(rows)} {how}", groups)


def imbalanced(counts: Ints) -> bool:
    """Whether some class has far fewer images than another one.

    Args:
        counts: images of each class, at least one class.
    """
    return bool(counts.max() > IMBALANCED * counts.min())


def audit(settings: SearchSettings, listener: Listener = ignore) -> Audit:
    """What is wrong with the data of ``settings``. Every image is decoded at 32 pixels, those for
    the test too, and nothing is trained.

    Raises:
        DataError: not one image can be used.
        SettingsError: a column was named that is not there.
    """
    cache = cache_root()
    listing, index = indexed(settings, cache, listener)
    index, looks = with_copies(index, cache, listener)
    unusable = None
    try:
        split = cut(index, settings.seed)
    except DataError as error:
        none = np.zeros(0, dtype=np.int64)
        unusable, split = str(error), Split(np.arange(len(index)), none, none)
    return Audit(listing.name, listing.kind, index, split, looks, unusable, listing.hint)


def _quartiles(values: np.ndarray) -> list[int]:
    """Least, quartiles and most, pixels."""
    return [int(value) for value in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
