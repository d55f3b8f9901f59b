"""Images as small pictures for a page."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from automl_img.data.decode import decode, quiet
from automl_img.errors import DataError


def as_webp(path: str, side: int) -> bytes | None:
    """The image of a file as it is trained on, a square of ``side`` pixels; None where it cannot be
    decoded."""
    try:
        with quiet():
            pixels = decode(path, side, 3)
    except DataError:
        return None
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=80)
    return stream.getvalue()
