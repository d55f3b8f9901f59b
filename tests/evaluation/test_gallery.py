from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from automl_img.evaluation.gallery import choose, write_thumbnails
from automl_img.metrics import confidence, right


def pictures(
    labels: np.ndarray, probabilities: np.ndarray, seed: int, most: int = 120
) -> dict[int, str]:
    sure = confidence(probabilities, labels) if len(labels) else np.zeros(0)
    ones = right(probabilities, labels) if len(labels) else np.zeros(0, dtype=np.bool_)
    return choose(ones, sure, seed, most)


def some(images: int, mistakes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.zeros(images, dtype=int)
    sure = rng.uniform(0.55, 1.0, images)
    rows = np.column_stack([sure, 1 - sure])
    rows[:mistakes] = rows[:mistakes, ::-1]
    return labels, rows


def test_mistakes_get_half_of_the_places_and_the_most_confident_come_first() -> None:
    labels, rows = some(200, mistakes=50)
    chosen = pictures(labels, rows, seed=0, most=40)
    assert Counter(chosen.values()) == {"mistake": 20, "unsure": 10, "random": 10}
    kept = [row for row, group in chosen.items() if group == "mistake"]
    left = set(range(50)) - set(kept)
    assert min(rows[kept].max(axis=1)) >= max(rows[list(left)].max(axis=1))


def test_places_that_mistakes_leave_empty_go_to_the_others() -> None:
    labels, rows = some(200, mistakes=3)
    assert Counter(pictures(labels, rows, seed=0, most=40).values())["mistake"] == 3
    assert len(pictures(labels, rows, seed=0, most=40)) == 40


def test_few_images_are_all_kept_and_none_is_no_error() -> None:
    labels, rows = some(5, mistakes=5)
    assert list(pictures(labels, rows, seed=0)) == [0, 1, 2, 3, 4]
    assert pictures(labels[:0], rows[:0], seed=0) == {}


def test_the_seed_decides() -> None:
    labels, rows = some(300, mistakes=10)
    assert pictures(labels, rows, seed=1) == pictures(labels, rows, seed=1)
    assert pictures(labels, rows, seed=1) != pictures(labels, rows, seed=2)


def test_thumbnails_are_small_webp_named_by_row(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (4, 300, 300, 3)).astype(np.uint8)
    paths = write_thumbnails(tmp_path, images, {1: "mistake", 3: "random"})
    assert [path.name for path in paths] == ["000001.webp", "000003.webp"]
    with Image.open(paths[0]) as picture:
        assert picture.size == (160, 160)
    groups = json.loads((tmp_path / "thumbnails" / "groups.json").read_text())
    assert groups == {"1": "mistake", "3": "random"}


def test_small_grey_images_keep_their_size_and_every_pixel(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (1, 8, 8, 1)).astype(np.uint8)
    (path,) = write_thumbnails(tmp_path, images, {0: "random"})
    with Image.open(path) as picture:
        assert np.array_equal(np.asarray(picture.convert("L")), images[0, ..., 0])
