"""Which test images are worth looking at, and their thumbnails."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from automl_img.data.images import Images
from automl_img.files import replacing, write_json
from automl_img.runs import Run

MISTAKE, UNSURE, RANDOM = "mistake", "unsure", "random"
SIDE = 160
LOSSLESS_SIDE = 48


def choose(right: np.ndarray, confidence: np.ndarray, seed: int, most: int = 120) -> dict[int, str]:
    """The rows to show, each with why: a mistake, right but unsure, or right and drawn at random.

    Half of the places go to mistakes, the most confident first; a quarter to the right answers with
    the least confidence; the rest is drawn from the other right answers. Places that one group
    leaves empty go to the next.

    Args:
        right: bool, shape (images,): whether the prediction is.
        confidence: float, shape (images,), see ``automl_img.metrics.confidence``.
        seed: of the draw.
        most: at most so many rows.

    Returns:
        The group of each row, in ascending order of rows.
    """
    order = np.argsort(confidence, kind="stable")
    mistakes, correct = order[~right[order]][::-1], order[right[order]]
    random_order = np.random.default_rng(seed).permutation(correct)

    unsure_places, random_places = most // 4, most // 4
    first = mistakes[: most - min(len(correct), unsure_places + random_places)]
    left = most - len(first)
    unsure = correct[: left // 2]
    drawn = random_order[~np.isin(random_order, unsure)][: left - len(unsure)]
    groups = {MISTAKE: first, UNSURE: unsure, RANDOM: drawn}
    chosen = {int(row): group for group, rows in groups.items() for row in rows}
    return dict(sorted(chosen.items()))


def write_thumbnails(run: Run | Path, images: Images, rows: Mapping[int, str]) -> list[Path]:
    """Write ``thumbnails/000123.webp`` for each row, and ``thumbnails/groups.json``.

    Args:
        run: the run, or its folder.
        images: uint8, shape (images, height, width, channels): the test images in the order of
            ``predictions/test.npz``; read only at ``rows``.
        rows: group by row, as ``choose`` gives them.
    """
    from PIL import Image

    folder = (run if isinstance(run, Path) else run.path) / "thumbnails"
    paths = []
    for row in rows:
        pixels = np.asarray(images[row])
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        picture.thumbnail((SIDE, SIDE))
        paths.append(folder / f"{row:06d}.webp")
        with replacing(paths[-1]) as temporary:
            # Lossy compression smears the few pixels of a small image, and saves nothing.
            small = max(picture.size) <= LOSSLESS_SIDE
            picture.convert("RGB").save(temporary, "WEBP", quality=75, method=4, lossless=small)
    write_json(folder / "groups.json", {str(row): group for row, group in rows.items()})
    return paths
