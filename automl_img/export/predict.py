"""What an exported model says of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl_img.data.decode import decode
from automl_img.errors import AutomlImgError
from automl_img.export.keras import load_keras


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        image: as it was named.
        label: the most probable class; None where the image cannot be used.
        probability: of that class, in [0, 1].
        probabilities: of every class, by name.
        error: why the image cannot be used, else None.
    """

    image: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    error: str | None = None


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
        best = int(row.argmax())
        each = dict(zip(exported.class_names, map(float, row), strict=True))
        found.append(Prediction(str(path), exported.class_names[best], float(row[best]), each))
    return found
