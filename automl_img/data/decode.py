"""One image file to one uint8 array."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from automl_img.data.origins import fetch_again
from automl_img.errors import DataError

# The decoders of FORMATS. Loaded here, as Pillow's own loading at the first image is not safe
# between threads.
PLUGINS = (
    *(BmpImagePlugin, GifImagePlugin, JpegImagePlugin),
    *(PngImagePlugin, TiffImagePlugin, WebPImagePlugin),
)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 50_000_000
DIGEST_BYTES = 16
# A JPEG file is decoded at 1/2, 1/4 or 1/8 of its size where that leaves so many times the side
# that is asked for, in both directions. On 300 photos of 256 pixels, which are sharper than large
# ones, the result then differs from that of the whole by 0.24 grey levels in the mean, by 0.5 in
# the mean of the worst image and by 8 in the worst pixel. Four times: 0.48, 0.95 and 9; two times
# are visible. A photo of 12 megapixels takes 13 ms, not 52.
DRAFT_MARGIN = 5

_EXIF_ORIENTATION = 0x0112
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset((5, 6, 7, 8))
_GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "F"))


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded.

    Attributes:
        width, height: pixels, as it is meant to be looked at (EXIF orientation applied).
        grey: its mode has no colour.
        digest: BLAKE2b of the bytes of the file, 16 bytes.
    """

    width: int
    height: int
    grey: bool
    digest: bytes


def inspect(source: str | Path | bytes) -> Header:
    """Read a file once, for its content's digest and its header.

    Args:
        source: a path, or the bytes of a file.

    Raises:
        DataError: it cannot be read, is no image of a known format, or is larger than
            ``MAX_PIXELS``. The message is a short reason.
    """
    data = source if isinstance(source, bytes) else read(source)
    with _reasons():
        image = _open(data)
        width, height = image.size
        if _orientation(image, data) in _SIDEWAYS:
            width, height = height, width
        return Header(width, height, _is_grey(image), digest_of(data))


def decode(source: str | Path | bytes, size: int, channels: int) -> npt.NDArray[np.uint8]:
    """The first frame of an image, as it is meant to be looked at.

    It is squashed to a square, whatever its proportions, as keras.utils'
    ``image_dataset_from_directory`` does by default: nothing is cut off and nothing is made up.
    The bilinear filter is widened when it shrinks, so there is no aliasing; an image that has the
    size already is not touched. A JPEG file that is far larger is decoded at a part of its size
    (``DRAFT_MARGIN``). What is transparent lies on white; 16 bits become 8.

    Args:
        source: a path, or the bytes of a file.
        size: side in pixels.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8, shape (size, size, channels).

    Raises:
        DataError: it cannot be decoded, wholly; the message is a short reason.
    """
    data = source if isinstance(source, bytes) else read(source)
    with _reasons():
        image = _open(data)
        draft = image.draft(None, (DRAFT_MARGIN * size, DRAFT_MARGIN * size))
        image.load()
        turn = _TRANSPOSED.get(_orientation(image, data))
        square = _opaque(_eight_bits(image), "L" if channels == 1 else "RGB")
        if square.size != (size, size):
            # A side that the scale does not divide has a last pixel that is there in part.
            box = draft[1] if draft else None
            square = square.resize((size, size), Image.Resampling.BILINEAR, box)
        upright = square if turn is None else square.transpose(turn)
        return np.asarray(upright, dtype=np.uint8).reshape(size, size, channels)


def read(path: str | Path) -> bytes:
    """The bytes of a file; one that came from a URL and has left the cache is fetched.

    Raises:
        DataError: it cannot be read; the message is a short reason.
        Unreachable: its server does not answer; see ``automl_img.data.filesystems``.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        found = fetch_again(path)
        if found is None:
            raise DataError(f"cannot be read: {error.strerror}") from None
        return found
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None


def digest_of(data: bytes) -> bytes:
    """BLAKE2b of ``data``, 16 bytes: enough that no two images of a data set meet by chance."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings on odd files from the screen; to be entered outside of any thread."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        yield


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder raises on a broken file into a DataError with a short reason."""
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(_too_large()) from None
    except UnidentifiedImageError:
        raise DataError("not an image, or of an unknown format") from None
    except Exception as error:
        text = (str(error) or type(error).__name__).split("\n")[0][:100]
        raise DataError("truncated" if "truncated" in text.lower() else text) from None


def _open(data: bytes) -> Image.Image:
    if not data:
        raise DataError("an empty file")
    image = Image.open(BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_too_large())
    return image


def _too_large() -> str:
    return f"larger than {MAX_PIXELS / 1e6:.0f} megapixels"


def _orientation(image: Image.Image, data: bytes) -> int:
    """1 to 8, as EXIF says; 1 where it says nothing or cannot be read."""
    # Pillow decodes the whole of a PNG file to look for EXIF data, which it seldom has.
    if image.format == "PNG" and b"eXIf" not in data and b"exif" not in data:
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:
        return 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.frombuffer(bytes(image.getpalette("RGB") or ()), dtype=np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in _GREY_MODES or image.mode.startswith("I;")


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise DataError("pixels are 32-bit floats, whose range is unknown")
    if image.mode == "I" or image.mode.startswith("I;"):
        greys = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((greys * 255 + 32767) // 65535).astype(np.uint8))
    return image


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        straight = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, "RGBA"))
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, straight.convert("RGBA"))
    return image.convert(mode)
