from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data import decode as decoding
from automl_img.data.decode import decode, inspect
from automl_img.errors import DataError

ROWS = np.linspace(0, 255, 16).astype(np.uint8)
GREY = np.repeat(ROWS[:, None], 16, axis=1)
COLOUR = np.stack([GREY, GREY.T, np.full((16, 16), 90, np.uint8)], axis=-1)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def on_disk(folder: Path, data: bytes) -> Path:
    path = folder / "image"
    path.write_bytes(data)
    return path


grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
sixteen = Image.fromarray(GREY.astype(np.uint16) * 257)
KINDS: dict[str, tuple[bytes, int, bool]] = {
    # name: (file, tolerance for lossy kinds, grey)
    "grey png": (saved(grey, "PNG"), 0, True),
    "grey jpeg": (saved(grey, "JPEG", quality=95), 12, True),
    "grey with alpha": (saved(grey.convert("LA"), "PNG"), 0, True),
    "16 bit png": (saved(sixteen, "PNG"), 0, True),
    "16 bit tiff": (saved(sixteen, "TIFF"), 0, True),
    "big-endian 16 bit tiff": (
        saved(Image.frombytes("I;16B", (16, 16), (GREY.astype(">u2") * 257).tobytes()), "TIFF"),
        0,
        True,
    ),
    "grey gif": (saved(grey, "GIF"), 0, True),
    "grey palette": (saved(grey.convert("P"), "PNG"), 0, True),
    "rgb png": (saved(colour, "PNG"), 0, False),
    "rgb jpeg": (saved(colour, "JPEG", quality=95, subsampling=0), 12, False),
    "progressive jpeg": (
        saved(colour, "JPEG", quality=95, subsampling=0, progressive=True),
        12,
        False,
    ),
    "rgb bmp": (saved(colour, "BMP"), 0, False),
    "rgb webp": (saved(colour, "WEBP", lossless=True), 0, False),
    "rgba png": (saved(colour.convert("RGBA"), "PNG"), 0, False),
    "rgba webp": (saved(colour.convert("RGBA"), "WEBP", lossless=True, exact=True), 0, False),
    "palette png": (saved(colour.quantize(256), "PNG"), 12, False),
    "palette gif": (saved(colour.quantize(256), "GIF"), 12, False),
    "cmyk jpeg": (saved(colour.convert("CMYK"), "JPEG", quality=95), 12, False),
    "cmyk tiff": (saved(colour.convert("CMYK"), "TIFF"), 2, False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_gives_its_pixels(kind: str, tmp_path: Path) -> None:
    data, tolerance, is_grey = KINDS[kind]
    channels = 1 if is_grey else 3
    pixels = decode(data, 16, channels)
    expected = GREY[..., None] if is_grey else COLOUR
    assert pixels.dtype == np.uint8
    assert pixels.shape == (16, 16, channels)
    assert np.abs(pixels.astype(int) - expected).max() <= tolerance
    header = inspect(on_disk(tmp_path, data))
    assert (header.width, header.height, header.grey) == (16, 16, is_grey)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_can_be_had_in_grey_and_in_colour(kind: str, channels: int) -> None:
    assert decode(KINDS[kind][0], 8, channels).shape == (8, 8, channels)


def test_one_bit_becomes_black_and_white() -> None:
    pixels = decode(saved(Image.fromarray(GREY > 127), "PNG"), 16, 1)
    assert np.array_equal(pixels[..., 0], np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_what_is_transparent_lies_on_white(form: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.putpixel((1, 0), (0, 0, 0, 128))
    pixels = decode(saved(image, form, lossless=True), 4, 3)
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[0, 1].tolist() == pytest.approx([127] * 3, abs=1)
    assert pixels[3, 3].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_lies_on_white(mode: str) -> None:
    image = Image.new(mode, (4, 4), 0)
    key = (0, 0, 0) if mode == "RGB" else 0
    assert decode(saved(image, "PNG", transparency=key), 4, 3).min() == 255


def test_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (4, 4), name) for name in ("red", "blue")]
    for form in ("GIF", "WEBP", "TIFF"):
        data = saved(frames[0], form, save_all=True, append_images=frames[1:])
        pixels = decode(data, 4, 3)
        assert (pixels[..., 0] > 200).all(), form
        assert (pixels[..., 2] < 50).all(), form


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(form: str, orientation: int, tmp_path: Path) -> None:
    upright = Image.new("RGB", (32, 16))
    upright.paste((255, 0, 0), (0, 0, 16, 8))
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if back is None else upright.transpose(back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, form, exif=exif, quality=95)
    header = inspect(on_disk(tmp_path, data))
    assert (header.width, header.height) == (32, 16)
    pixels = decode(data, 16, 3).astype(int)
    assert pixels[1:6, 1:6, 0].min() > 200
    assert pixels[10:, :, 0].max() < 60
    assert pixels[:, 10:, 0].max() < 60


def test_broken_exif_data_does_not_cost_the_image() -> None:
    assert decode(saved(colour, "JPEG", exif=b"Exif\0\0garbage"), 16, 3).shape == (16, 16, 3)


def test_an_image_of_the_size_is_not_touched_and_a_larger_one_is_antialiased() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    data = saved(Image.fromarray(checks), "PNG")
    assert np.array_equal(decode(data, 64, 1)[..., 0], checks)
    small = decode(data, 16, 1)
    assert np.abs(small.astype(int) - 127).max() < 20


def test_a_wide_image_is_squashed_so_that_nothing_is_cut_off() -> None:
    wide = Image.new("RGB", (64, 16), "black")
    wide.paste("red", (48, 0, 64, 16))
    pixels = decode(saved(wide, "PNG"), 16, 3)
    assert (pixels[:, 13:, 0] > 200).all()
    assert (pixels[:, :11, 0] < 50).all()


@pytest.mark.parametrize("kind", ["grey png", "rgb jpeg", "rgb bmp", "rgb webp", "palette gif"])
def test_a_truncated_image_has_a_short_reason(kind: str) -> None:
    data = KINDS[kind][0]
    with pytest.raises(DataError) as raised:
        decode(data[: int(len(data) * 0.6)], 16, 3)
    assert len(str(raised.value)) < 120


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"not an image at all", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    path = on_disk(tmp_path, data)
    for read in (lambda: inspect(path), lambda: decode(path, 8, 3)):
        with pytest.raises(DataError, match=reason):
            read()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        inspect(tmp_path / "none.png")


def test_other_formats_that_pillow_knows_are_refused(tmp_path: Path) -> None:
    # An EPS file would start another program.
    with pytest.raises(DataError, match="not an image"):
        inspect(on_disk(tmp_path, saved(colour, "EPS")))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    bomb = on_disk(tmp_path, saved(Image.new("1", (30_000, 30_000)), "PNG"))
    for read in (lambda: inspect(bomb), lambda: decode(bomb, 8, 1)):
        with decoding.quiet(), pytest.raises(DataError, match="larger than 50 megapixels"):
            read()


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    one = inspect(on_disk(tmp_path, KINDS["rgb png"][0]))
    (tmp_path / "other").write_bytes(KINDS["rgb png"][0])
    assert inspect(tmp_path / "other").digest == one.digest
    assert len(one.digest) == 16
    assert inspect(on_disk(tmp_path, KINDS["rgb bmp"][0])).digest != one.digest
