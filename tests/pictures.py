"""Small real images for the tests, drawn from a seed: classes differ by colour and shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "blue": (40, 60, 200),
    "green": (40, 180, 60),
    "red": (210, 50, 40),
    "sand": (200, 180, 90),
}


def picture(colour: str, size: int, rng: np.random.Generator) -> Image.Image:
    """A square of ``colour`` somewhere on a noisy grey ground, RGB, ``size`` pixels a side."""
    pixels = rng.integers(90, 140, (size, size, 3)).astype(np.uint8)
    side = size // 2
    top, left = rng.integers(0, size - side + 1, 2)
    pixels[top : top + side, left : left + side] = COLOURS[colour]
    return Image.fromarray(pixels)


def class_folders(
    folder: Path, per_class: int = 20, size: int = 16, classes: int = 3, seed: int = 0
) -> Path:
    """Write ``folder/<class>/NNN.png`` and return ``folder``."""
    rng = np.random.default_rng(seed)
    for colour in list(COLOURS)[:classes]:
        (folder / colour).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            picture(colour, size, rng).save(folder / colour / f"{number:03d}.png")
    return folder
