"""Images as small pictures for a page."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from automl_img.data.decode import decode, quiet
from automl_img.errors import DataError


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """An image as a WebP data URI.

    Args:
        pixels: uint8, shape (height, width, channels), 1 or 3 channels.
    """
    stream = BytesIO()
    shown = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(shown).save(stream, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def picture_of(path: str, side: int) -> str:
    """The image of a file as it is trained on, a square of ``side`` pixels, as a data URI; empty
    where it cannot be decoded."""
    try:
        with quiet():
            return data_uri(decode(path, side, 3))
    except DataError:
        return ""
