"""What an exported model says of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl_img.data.decode import decode
from automl_img.errors import AutomlImgError
from automl_img.export.keras import ExportedModel, load_keras


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        image: as it was named.
        label: the most probable class, or of an image that may have several all that are said to
            be there, with "|" between them; None where the image cannot be used.
        probability: of that class, in [0, 1]; of several that of the least probable one, None
            without any.
        probabilities: of every class, by name.
        labels: the classes that the image is said to have, one or several or none.
        error: why the image cannot be used, else None.
    """

    image: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    error: str | None = None
    labels: tuple[str, ...] = ()


def predict_files(model: Path, paths: Sequence[Path]) -> list[Prediction]:
    """The class of each image, by an exported model.

    Raises:
        ExportError: the model cannot be loaded.
    """
    exported = load_keras(model)
    found = []
    for path in paths:
        try:
            pixels = decode(path, exported.image_size, exported.channels)
        except AutomlImgError as error:
            found.append(Prediction(str(path), None, None, {}, str(error)))
            continue
        row = exported.predict(pixels[np.newaxis])[0]
        each = dict(zip(exported.class_names, map(float, row), strict=True))
        said = _said(exported, row)
        labels = tuple(exported.class_names[place] for place in said)
        least = min((float(row[place]) for place in said), default=None)
        found.append(Prediction(str(path), "|".join(labels), least, each, labels=labels))
    return found


def _said(exported: ExportedModel, row: np.ndarray) -> list[int]:
    """The places of the classes that an image is said to have."""
    if exported.thresholds is None:
        return [int(row.argmax())]
    places: list[int] = np.flatnonzero(row >= np.array(exported.thresholds)).tolist()
    return places
