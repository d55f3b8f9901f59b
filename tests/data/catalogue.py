"""Small data sets of tensorflow-datasets: ``python -m tests.data.catalogue FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tests.pictures import COLOURS, picture


class Small(tfds.core.GeneratorBasedBuilder):
    """Three images of each class in each split."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: tuple[str, ...] = ("train",)
    CLASSES: tuple[str, ...] = ("blue", "green", "red")
    ENCODING = "png"
    LABELLED = True

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format=self.ENCODING)
        }
        if self.LABELLED:
            features["label"] = tfds.features.ClassLabel(names=list(self.CLASSES))
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: object) -> dict[str, Any]:
        return {split: self._generate_examples(number) for number, split in enumerate(self.SPLITS)}

    def _generate_examples(self, seed: int) -> Iterator[tuple[int, dict[str, Any]]]:
        rng = np.random.default_rng(seed)
        for number in range(9):
            image = np.asarray(picture(list(COLOURS)[number % 3], 8, rng))
            label = {"label": number % 3} if self.LABELLED else {}
            yield number, {"image": image, **label}


class Photos(Small):
    """Of one split."""


class Parted(Small):
    """Of several splits, with classes that can be no folders."""

    SPLITS = ("train", "validation", "test")
    CLASSES = ("T-shirt/top", "..", "red")
    ENCODING = "jpeg"


class Unlabelled(Small):
    """With a test set whose labels nobody tells."""

    SPLITS = ("train", "test")

    def _generate_examples(self, seed: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, example in super()._generate_examples(seed):
            yield number, {**example, "label": -1} if seed and number > 5 else example


class Extra(Small):
    """With a split of another name."""

    SPLITS = ("train", "extra")


class Pictures(Small):
    """Without classes."""

    LABELLED = False


if __name__ == "__main__":
    for kind in (Photos, Parted, Unlabelled, Extra, Pictures):
        kind(data_dir=sys.argv[1]).download_and_prepare()
