"""Data sets known by name, written once into the cache as class folders of PNG files.

``digits`` comes with scikit-learn and needs no network; the others come through keras.datasets,
with the test split that they were published with.
"""

from __future__ import annotations

import dataclasses
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from automl_img.data.cache import built_once
from automl_img.data.listing import Columns, Listing
from automl_img.data.sources.folder import list_folder
from automl_img.errors import DataError, SettingsError
from automl_img.events import Listener, Notice, Phase

Parts = dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]

DIGITS = tuple("0123456789")
FASHION = (
    *("T-shirt or top", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
CIFAR100 = (
    *("apple", "aquarium_fish", "baby", "bear", "beaver", "bed"),
    *("bee", "beetle", "bicycle", "bottle", "bowl", "boy"),
    *("bridge", "bus", "butterfly", "camel", "can", "castle"),
    *("caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud"),
    *("cockroach", "couch", "crab", "crocodile", "cup", "dinosaur"),
    *("dolphin", "elephant", "flatfish", "forest", "fox", "girl"),
    *("hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower"),
    *("leopard", "lion", "lizard", "lobster", "man", "maple_tree"),
    *("motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange"),
    *("orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree"),
    *("plain", "plate", "poppy", "porcupine", "possum", "rabbit"),
    *("raccoon", "ray", "road", "rocket", "rose", "sea"),
    *("seal", "shark", "shrew", "skunk", "skyscraper", "snail"),
    *("snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper"),
    *("table", "tank", "telephone", "television", "tiger", "tractor"),
    *("train", "trout", "tulip", "turtle", "wardrobe", "whale"),
    *("willow_tree", "wolf", "woman", "worm"),
)
CLASSES = {
    "digits": DIGITS,
    "mnist": DIGITS,
    "fashion_mnist": FASHION,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
}
NAMES = tuple(CLASSES)
WHAT = f"a built-in name ({', '.join(NAMES)})"


def accepts(data: str) -> bool:
    """Whether ``data`` is one of the names."""
    return data in NAMES


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images of the data set named ``data``.

    Raises:
        DataError: it cannot be downloaded.
        SettingsError: a column was named, but a built-in data set has none.
    """
    if columns.named():
        raise SettingsError(f"{columns.named()[0]} needs a table, but {data!r} is a built-in name")
    if Path(data).exists():
        listener(Notice(f"{data!r} is the built-in data set; for what lies here, say ./{data}"))
    folder = cache / "builtin" / data

    def build(into: Path) -> dict[str, Any]:
        listener(Phase(f"getting the images of {data}"))
        parts = _load_digits() if data == "digits" else _download(data)
        return _write(into, parts, CLASSES[data])

    built_once(folder, build, listener)
    found = list_folder(folder / "files", data, "builtin")
    return dataclasses.replace(found, name=data, kind="builtin")


def _load_digits() -> Parts:
    from sklearn.datasets import load_digits

    found = load_digits()
    # Their greys are 0 to 16, where 16 is the strongest stroke.
    return {"": (np.rint(found.images * (255 / 16)).astype(np.uint8), found.target)}


def _download(name: str) -> Parts:
    try:
        import keras

        # Keras prints its progress; stdout is for results.
        with redirect_stdout(sys.stderr):
            train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        raise DataError(
            f"the images of {name!r} must be downloaded once, but that failed ({reason}); "
            "connect to the network and try again, or use 'digits', which needs none"
        ) from error
    return {"train": train, "test": test}


def _write(into: Path, parts: Parts, class_names: tuple[str, ...]) -> dict[str, Any]:
    count = 0
    for split, (images, labels) in parts.items():
        folders = [into / "files" / split / name for name in class_names]
        for folder in folders:
            folder.mkdir(parents=True)
        for number, (pixels, label) in enumerate(zip(images, labels.ravel(), strict=True)):
            Image.fromarray(pixels).save(
                folders[int(label)] / f"{number:05d}.png", compress_level=1
            )
            count += 1
    return {"images": count}
