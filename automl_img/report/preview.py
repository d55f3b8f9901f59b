"""The page of a preview: some training images, as loaded and as augmented."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from automl_img.data.pictures import data_uri
from automl_img.data.preview import Samples
from automl_img.report.drawing import significant
from automl_img.report.render import write_page


def write_preview(
    samples: Samples,
    views: npt.NDArray[np.uint8],
    amounts: Mapping[str, float],
    path: Path,
) -> None:
    """Write the page; the same images give the same bytes.

    Args:
        views: uint8, shape (views, samples, side, side, channels), the images as augmented.
        amounts: of each change, see ``automl_img.models.augment.amounts``.

    Raises:
        DataError: ``path`` cannot be written.
    """
    rows = [
        {
            "name": name,
            "label": label,
            "images": [data_uri(samples.images[at]), *(data_uri(view[at]) for view in views)],
        }
        for at, (name, label) in enumerate(zip(samples.names, samples.labels, strict=True))
    ]
    changes = {name: significant(value) for name, value in amounts.items() if value > 0}
    classes = [(label, list(of)) for label, of in groupby(rows, key=lambda row: row["label"])]
    write_page(
        "preview.html.j2",
        path,
        title=samples.name,
        side=samples.images.shape[1],
        changes=changes,
        classes=classes,
        left_out=samples.classes - len(classes),
    )
