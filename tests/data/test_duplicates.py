"""Copies of real photos are found, whatever was done to them, and different photos are not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from sklearn.datasets import load_digits, load_sample_image

from automl_img.data import duplicates
from automl_img.data.appearance import APPEARANCE, Appearances, appearance_of, perceptual_hash
from automl_img.data.decode import decode
from automl_img.data.duplicates import groups_of, identical_pairs, near_pairs


def crops(side: int = 96) -> list[Image.Image]:
    """Parts of two photos, no two of which overlap."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = Image.fromarray(load_sample_image(name))
        for top in range(0, photo.height - side + 1, side):
            for left in range(0, photo.width - side + 1, side):
                found.append(photo.crop((left, top, left + side, top + side)))
    return found


def seen(images: list[Image.Image]) -> Appearances:
    return np.array([appearance_of(decode(as_file(image), 32, 3)) for image in images])


def as_file(image: Image.Image, form: str = "PNG", **options: int) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def jpeg(image: Image.Image) -> Image.Image:
    return Image.open(BytesIO(as_file(image, "JPEG", quality=30)))


CHANGES = {
    "compressed": jpeg,
    "half of the size": lambda image: image.resize((48, 48)),
    "stretched": lambda image: image.resize((140, 70)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "a little blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "a border cut off": lambda image: image.crop((1, 1, 95, 95)),
}


def textured() -> list[Image.Image]:
    """Those with something in them: of plain sky nobody can tell a copy."""
    every = crops()
    return [every[place] for place in np.flatnonzero(seen(every)["contrast"] >= 25)]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found(name: str) -> None:
    originals = textured()
    images = originals + [CHANGES[name](image) for image in originals]
    found = {tuple(pair) for pair in near_pairs(seen(images)).tolist()}
    copies = {(row, row + len(originals)) for row in range(len(originals))}
    assert len(copies & found) >= 0.9 * len(copies)


def test_a_grey_copy_is_found_and_different_drawings_of_a_digit_are_none() -> None:
    grey = [image.convert("L").convert("RGB") for image in textured()]
    copies = [jpeg(image) for image in grey]
    found = {tuple(pair) for pair in near_pairs(seen(grey + copies)).tolist()}
    assert len(found & {(row, row + len(grey)) for row in range(len(grey))}) >= 0.9 * len(grey)
    pixels = load_digits().images[:500]
    digits = [Image.fromarray(np.rint(16 * each).clip(0, 255).astype(np.uint8)) for each in pixels]
    assert len(near_pairs(seen(digits))) <= 25


def test_different_parts_of_photos_are_no_copies() -> None:
    images = crops(48)
    assert len(images) > 150
    assert len(near_pairs(seen(images))) <= 1


def test_images_of_one_colour_are_not_compared() -> None:
    plain = [Image.new("RGB", (40, 40), (90, 90, value)) for value in range(0, 200, 50)]
    assert len(near_pairs(seen(plain + plain))) == 0


def test_the_same_in_another_colour_is_no_copy() -> None:
    red = np.zeros((60, 60, 3), np.uint8)
    red[10:50, 5:55, 0] = 255
    blue = np.ascontiguousarray(red[:, :, ::-1])
    assert len(near_pairs(seen([Image.fromarray(red), Image.fromarray(blue)]))) == 0


def test_the_hash_is_that_of_the_frequencies_above_their_median() -> None:
    from scipy.fft import dctn

    grey = np.asarray(crops()[0].convert("L").resize((32, 32)), dtype=np.float32)
    low = dctn(grey, norm="ortho")[:8, :8]
    bits = (low > np.median(low)).reshape(-1)
    assert perceptual_hash(grey) == np.packbits(bits).view(np.uint64)[0]


def test_files_of_the_same_content_are_pairs_of_neighbours() -> None:
    digests = np.zeros((5, 16), np.uint8)
    digests[:, 3] = [7, 1, 7, 2, 7]
    assert sorted(identical_pairs(digests).tolist()) == [[0, 2], [2, 4]]


def test_pairs_join_to_groups_numbered_by_their_first_image() -> None:
    pairs = np.array([[1, 4], [4, 5], [2, 3]])
    assert groups_of(7, pairs).tolist() == [0, 1, 2, 2, 1, 1, 3]
    assert groups_of(3, np.empty((0, 2), np.int64)).tolist() == [0, 1, 2]


def test_thousands_of_the_same_image_are_one_group_in_little_time_and_memory() -> None:
    one = seen(textured()[:1])
    many = np.repeat(one, 5000)
    pairs = near_pairs(many)
    assert len(pairs) <= 5000 * duplicates._MOST_NEIGHBOURS
    assert set(groups_of(5000, pairs).tolist()) == {0}


def test_an_appearance_is_small(tmp_path: Path) -> None:
    assert APPEARANCE.itemsize == 279
    row = seen(crops()[:1])
    np.save(tmp_path / "rows.npy", row)
    assert np.load(tmp_path / "rows.npy", allow_pickle=False) == row
