"""JPEG files decoded at a part of their size: when, and that it does not show."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data import decode as decoding
from automl_img.data.decode import decode, inspect
from automl_img.errors import DataError
from tests.data.test_decode import on_disk, saved


def photo(mode: str = "RGB", size: tuple[int, int] = (1201, 899)) -> Image.Image:
    """Smooth shapes and some grain, as a camera gives."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (28, 37, 3)).astype(np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    grain = rng.integers(-12, 13, (size[1], size[0], 1))
    pixels = np.clip(np.asarray(image).astype(int) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def of_the_whole(data: bytes, size: int, channels: int) -> np.ndarray:
    """``decode`` without any reduced decoding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "DRAFT_MARGIN", 10**6)
        return decode(data, size, channels).astype(int)


def decoded_sizes(data: bytes, size: int, channels: int) -> list[tuple[int, int]]:
    sizes = []
    convert = decoding._opaque

    def note(image: Image.Image, mode: str) -> Image.Image:
        sizes.append(image.size)
        return convert(image, mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "_opaque", note)
        decode(data, size, channels)
    return sizes


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [20, 40, 64])
def test_a_reduced_jpeg_gives_the_same_pixels_within_half_a_grey_level(
    mode: str, channels: int, size: int
) -> None:
    data = saved(photo(mode), "JPEG", quality=92)
    difference = np.abs(decode(data, size, channels) - of_the_whole(data, size, channels))
    assert difference.mean() < 0.5
    assert difference.max() <= 8


@pytest.mark.parametrize(
    ("size", "decoded"), [(20, (151, 113)), (40, (301, 225)), (64, (601, 450)), (90, (1201, 899))]
)
def test_a_jpeg_is_reduced_as_far_as_five_times_the_side_is_left(
    size: int, decoded: tuple[int, int]
) -> None:
    assert decoded_sizes(saved(photo(), "JPEG"), size, 3) == [decoded]


def test_what_is_no_jpeg_is_decoded_whole() -> None:
    assert decoded_sizes(saved(photo(), "PNG"), 20, 3) == [(1201, 899)]


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_a_reduced_jpeg_is_turned_upright_and_its_header_keeps_the_size(
    orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(photo(), "JPEG", exif=exif, quality=92)
    assert decoded_sizes(data, 40, 3) == [(301, 225)]
    assert np.abs(decode(data, 40, 3) - of_the_whole(data, 40, 3)).mean() < 0.3
    header = inspect(on_disk(tmp_path, data))
    assert {header.width, header.height} == {1201, 899}
    assert (header.width > header.height) is (orientation == 3)


def test_a_photo_with_a_second_picture_inside_is_reduced_too() -> None:
    # As telephones write it: a depth map or a preview after the photo.
    data = saved(photo(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    assert decoded_sizes(data, 40, 3) == [(301, 225)]
    assert np.abs(decode(data, 40, 3) - of_the_whole(data, 40, 3)).mean() < 0.3


def test_a_truncated_photo_is_found_though_it_is_reduced() -> None:
    data = saved(photo(), "JPEG")
    with pytest.raises(DataError, match="truncated"):
        decode(data[: len(data) // 2], 40, 3)


@pytest.mark.slow
def test_reduced_photos_are_those_of_the_whole_within_half_a_grey_level(
    shared_archive: Callable[[str], Path],
) -> None:
    with zipfile.ZipFile(shared_archive("grocery.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][::40]
        photos = [archive.read(name) for name in names]
    for size, part in ((25, 2), (12, 4), (6, 8)):
        assert decoded_sizes(photos[0], size, 3)[0][0] <= 348 // part
        means = [np.abs(decode(p, size, 3) - of_the_whole(p, size, 3)).mean() for p in photos]
        assert np.mean(means) < 0.3
        assert max(means) < 0.6
