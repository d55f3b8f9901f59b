"""The two tracks: their images, their space, their split by seed; and a small one to try out."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import frame
import numpy as np

from automl_img.data.listing import is_image_name

if TYPE_CHECKING:
    from automl_img.space.dimensions import SearchSpace

SHARED = frame.FOLDER.parent.parent / "shared" / "data"
# Images of each class on the scratch track, for training and for validation.
_CIFAR_TRAIN, _CIFAR_VALIDATION = 400, 100
# Of the grocery images that are not for the test.
_GROCERY_VALIDATION = 0.2
# Images of each class to try out with, for training, validation and the test.
_SMALL = (30, 10, 10)

# What ``benchmarks/pretrain.py`` pretrains.
PRETRAINED = "mobilenet_v3_small"

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Track:
    """What is to be learnt, and from where.

    Attributes:
        name: as in the table.
        words: what the images are.
        images: writes images into a folder, and returns (path, label, split) of each, cut by a
            seed; the test images are the same for every seed.
        archive: the images must be in this file of ../shared/data; None where none is needed.
        space: the name of a preset in ``search_spaces/``.
        search, fix: what of it is changed, as typed on the command line.
        image_size: side in pixels.
        max_epochs: the most that one configuration trains.
        pretrained: whether it starts from the weights of ``benchmarks/pretrain.py``.
    """

    name: str
    words: str
    images: Callable[[Path, int], list[Row]]
    archive: str | None
    space: str
    search: dict[str, str]
    fix: dict[str, str]
    image_size: int
    max_epochs: int
    pretrained: bool = False

    @property
    def options(self) -> list[str]:
        """Its space as options of ``automl-img search``."""
        typed = [("--search", self.search), ("--fix", self.fix)]
        pairs = [[name, f"{k}={v}"] for name, values in typed for k, v in values.items()]
        return ["--space", self.space, *(word for pair in pairs for word in pair)]

    def search_space(self) -> SearchSpace:
        """The space that every system but AutoKeras searches."""
        from automl_img.models.hyperparameters import declared
        from automl_img.space.presets import build_space, find_preset, read_preset

        preset = read_preset(find_preset(self.space))
        return build_space(self.space, preset, declared(), self.search, self.fix)


@dataclass(frozen=True)
class Data:
    """The images of a track, cut by a seed, as a table and as arrays of the same pixels.

    Attributes:
        table, arrays, class_names, facts: see ``Task``.
        test_images: ``.npy``, uint8 (images, side, side, channels).
        test_labels: int64 (images,), in the same order.
    """

    table: str
    arrays: str
    test_images: str
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    facts: dict[str, Any]


def data_of(track: Track, seed: int, folder: Path) -> Data:
    """The images of ``track``, written to ``folder``; decoded by this project, for all alike."""
    folder.mkdir(parents=True)
    table = folder / "table.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "label", "split"))
        writer.writerows(track.images(folder / "images", seed))
    ready = frame.prepared(frame.Images(str(table), track.words), image_size=track.image_size)
    x, y, vx, vy = frame.arrays(ready)
    np.savez(folder / "arrays.npz", x=x, y=y, vx=vx, vy=vy)
    test = ready.test.open()
    np.save(folder / "test.npy", np.asarray(test.images[np.arange(len(test.labels))]))
    return Data(
        table=str(table),
        arrays=str(folder / "arrays.npz"),
        test_images=str(folder / "test.npy"),
        test_labels=test.labels,
        class_names=ready.class_names,
        facts={
            "image_size": ready.image_size,
            "channels": ready.channels,
            "classes": len(ready.class_names),
            "flips": ready.flips,
        },
    )


def _cifar10(folder: Path, seed: int) -> list[Row]:
    """4,000 images for training, 1,000 for validation, all 10,000 for the test."""
    rows: list[Row] = []
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(SHARED / "cifar10.zip") as archive:
        names: dict[tuple[str, str], list[str]] = {}
        for name in sorted(filter(is_image_name, archive.namelist())):
            split, label, _ = name.split("/")[1:]
            names.setdefault((split, label), []).append(name)
        for (split, label), members in names.items():
            parts = ["test"] * len(members)
            if split == "train":
                members = rng.permutation(members).tolist()
                parts = ["train"] * _CIFAR_TRAIN + ["val"] * _CIFAR_VALIDATION
            for member, part in zip(members, parts, strict=False):
                rows.append((archive.extract(member, folder), label, part))
    return rows


def _grocery(folder: Path, seed: int) -> list[Row]:
    """The coarse classes; its own test images, the others cut by class into 80 % and 20 %."""
    rows: list[Row] = []
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(SHARED / "grocery.zip") as archive:
        archive.extractall(folder)
        listed = io.StringIO(archive.read("grocery/labels.csv").decode("utf-8"))
    others: dict[str, list[str]] = {}
    for line in csv.DictReader(listed):
        path, label = str(folder / "grocery" / line["path"]), line["coarse_label"]
        if line["split"] == "test":
            rows.append((path, label, "test"))
        else:
            others.setdefault(label, []).append(path)
    for label, paths in sorted(others.items()):
        # Of a class with few images one is still seen in validation.
        last = max(1, round(_GROCERY_VALIDATION * len(paths)))
        for place, path in enumerate(rng.permutation(sorted(paths)).tolist()):
            rows.append((path, label, "val" if place < last else "train"))
    return rows


def _small(folder: Path, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    train, validation, test = _SMALL
    images = Path(frame.small_images(folder, sum(_SMALL)).data)
    rows: list[Row] = []
    for place in sorted(images.iterdir()):
        paths = [str(path) for path in sorted(place.iterdir())]
        cut = rng.permutation(paths[test:]).tolist()
        rows += [(path, place.name, "test") for path in paths[:test]]
        rows += [(path, place.name, "train") for path in cut[:train]]
        rows += [(path, place.name, "val") for path in cut[train : train + validation]]
    return rows


TRACKS = {
    "scratch": Track(
        name="scratch",
        words="CIFAR-10: 4,000 images for training, 1,000 for validation, 10,000 for the test",
        images=_cifar10,
        archive="cifar10.zip",
        space="cnn",
        search={},
        fix={},
        image_size=32,
        max_epochs=30,
    ),
    "transfer": Track(
        name="transfer",
        words="Grocery Store Dataset, coarse classes, weights pretrained on CIFAR-10",
        images=_grocery,
        archive="grocery.zip",
        space="pretrained",
        search={f"{PRETRAINED}.frozen_layers": "0,37,121,175"},
        fix={"backbone": PRETRAINED},
        image_size=96,
        max_epochs=20,
        pretrained=True,
    ),
}
# Not in the comparison: `--short` and the tests.
SMALL = Track(
    name="small",
    words="300 small images of ten classes for training",
    images=_small,
    archive=None,
    space="cnn_small",
    search={},
    fix={"cnn.depth": "2", "cnn.filters": "12", "cnn.convolutions": "1"},
    image_size=32,
    max_epochs=3,
)


def find_track(name: str) -> Track:
    """The track ``name``, the small one too."""
    return SMALL if name == SMALL.name else TRACKS[name]
