"""What an image looks like, in a few numbers: enough to find its copies, and what is odd of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Images are looked at as squares of so many pixels a side.
SIDE = 32
THUMBNAIL_SIDE = 16
# Of the frequencies of the image, the lowest so many in each direction.
_FREQUENCIES = 8
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# One row an image, 279 bytes.
#   hash        64 bits, the perceptual hash of ``perceptual_hash``.
#   thumbnail   uint8 (16, 16), grey.
#   colour      uint8 (3,), the mean of each of red, green and blue.
#   brightness  mean grey level, in [0, 255].
#   contrast    standard deviation of the grey levels.
#   sharpness   standard deviation of the Laplacian of the grey levels over ``contrast``; 0 where
#               there is no contrast.
APPEARANCE = np.dtype(
    [
        ("hash", np.uint64),
        ("thumbnail", np.uint8, (THUMBNAIL_SIDE, THUMBNAIL_SIDE)),
        ("colour", np.uint8, (3,)),
        ("brightness", np.float32),
        ("contrast", np.float32),
        ("sharpness", np.float32),
    ]
)
Appearances = npt.NDArray[np.void]


def appearance_of(pixels: npt.NDArray[np.uint8]) -> Appearances:
    """The row of an image.

    Args:
        pixels: uint8 (32, 32, 3).

    Returns:
        ``APPEARANCE``, shape ().
    """
    grey = pixels.astype(np.float32) @ _GREY
    contrast = float(grey.std())
    row = np.zeros((), APPEARANCE)
    row["hash"] = perceptual_hash(grey)
    half = SIDE // THUMBNAIL_SIDE
    blocks = grey.reshape(THUMBNAIL_SIDE, half, THUMBNAIL_SIDE, half)
    row["thumbnail"] = np.rint(blocks.mean(axis=(1, 3)))
    row["colour"] = np.rint(pixels.mean(axis=(0, 1)))
    row["brightness"], row["contrast"] = grey.mean(), contrast
    row["sharpness"] = _laplacian(grey).std() / contrast if contrast > 0 else 0.0
    return row


def perceptual_hash(grey: npt.NDArray[np.float32]) -> np.uint64:
    """Which of the lowest frequencies of an image are above their median, as 64 bits: the "pHash"
    (Zauner 2010, https://www.phash.org/docs/pubs/thesis_zauner.pdf), in the form of the library
    imagehash. Copies of other size, compression or brightness differ in few bits.

    Args:
        grey: float32 (32, 32).
    """
    low = _COSINES @ grey @ _COSINES.T
    bits = (low > np.median(low)).reshape(-1)
    return np.uint64(np.packbits(bits).view(np.uint64)[0])


def _cosines() -> npt.NDArray[np.float32]:
    """The lowest rows of the type-II discrete cosine transform, (frequencies, SIDE)."""
    frequency, place = np.arange(_FREQUENCIES)[:, None], np.arange(SIDE)[None, :]
    angles = (np.pi * frequency * (2 * place + 1) / (2 * SIDE)).astype(np.float32)
    rows: npt.NDArray[np.float32] = np.cos(angles) * np.float32(np.sqrt(2 / SIDE))
    rows[0] /= np.sqrt(2)
    return rows


_COSINES = _cosines()


def _laplacian(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = 4 * grey[1:-1, 1:-1]
    for beside in (grey[:-2, 1:-1], grey[2:, 1:-1], grey[1:-1, :-2], grey[1:-1, 2:]):
        found -= beside
    return found
