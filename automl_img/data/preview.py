"""A few training images of each class, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automl_img.data.cache import cache_root
from automl_img.data.decode import decode, quiet
from automl_img.data.prepare import cut_up, mirrored_keeps_class
from automl_img.errors import DataError
from automl_img.events import Listener, ignore
from automl_img.labels import has
from automl_img.settings import SearchSettings

MOST_CLASSES = 50


@dataclass(frozen=True)
class Samples:
    """Training images as they are trained on.

    Attributes:
        name: of the data.
        images: uint8, shape (samples, side, side, channels), those of a class together.
        names: of their files.
        labels: the class of each, with the coarser one that it belongs to behind it.
        flips: whether a mirrored image keeps its class.
        classes: how many there are in all; the first ``MOST_CLASSES`` are shown.
    """

    name: str
    images: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    flips: bool
    classes: int


def samples(settings: SearchSettings, per_class: int, listener: Listener = ignore) -> Samples:
    """At most ``per_class`` training images of each class, drawn by the seed.

    Raises:
        DataError: the images cannot be used, or not one of these can be decoded.
        SettingsError: a column was named that is not there.
    """
    listing, index, split, _ = cut_up(settings, cache_root(), listener)
    train = split.train
    size, found = settings.image_size or index.image_size, []
    headings = [
        f"{name} ({index.coarse[label]})" if index.coarse else name
        for label, name in enumerate(index.class_names)
    ]
    with quiet():
        for label in range(min(MOST_CLASSES, len(index.class_names))):
            rows = train[has(index.labels[train], label)]
            rng = np.random.default_rng([settings.seed, label])
            for row in np.sort(rng.permutation(rows)[:per_class]).tolist():
                try:
                    pixels = decode(index.paths[row], size, index.channels)
                except DataError:
                    # ``data check`` names what cannot be decoded.
                    continue
                found.append((pixels, index.names[row], headings[label]))
    if not found:
        raise DataError(
            "not one of the images to be shown can be decoded; see automl-img data check"
        )
    images, names, labels = zip(*found, strict=True)
    flips = mirrored_keeps_class(listing, index)
    return Samples(listing.name, np.stack(images), names, labels, flips, len(index.class_names))
