"""A preview shows what training sees."""

from __future__ import annotations

import base64
import re
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img import preview_data
from automl_img.data.decode import decode
from automl_img.data.pictures import data_uri
from automl_img.errors import DataError, SettingsError, SpaceError
from tests.pictures import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", per_class=12, size=32)


def images(page: Path) -> list[np.ndarray]:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", text)
    return [np.asarray(Image.open(BytesIO(base64.b64decode(each)))) for each in found]


def test_each_class_has_images_as_loaded_and_as_changed(photos: Path, tmp_path: Path) -> None:
    page = preview_data(photos, html=tmp_path / "page.html", strength=0.8)
    found = images(page)
    # Three classes of three images, each with five views.
    assert len(found) == 3 * 3 * 6
    text = page.read_text(encoding="utf-8")
    assert text.count("<h2") == 3
    assert "zoom 0.08" in text
    first = re.findall(r"<span>(photos/|)([a-z]+/\d+\.png)</span>", text)[0][1]
    as_loaded = data_uri(decode(photos / first, 32, 3))
    assert as_loaded in text
    changed = [each for place, each in enumerate(found) if place % 6]
    assert all(np.abs(a.astype(int) - b).mean() > 1 for a, b in pairwise(changed))


def test_without_strength_nothing_is_changed(photos: Path, tmp_path: Path) -> None:
    page = preview_data(photos, html=tmp_path / "page.html", strength=0.0)
    found = images(page)
    assert all((found[at] == found[at - at % 6]).all() for at in range(len(found)))
    assert "without changes" in page.read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_page_and_another_one_others(
    photos: Path, tmp_path: Path
) -> None:
    pages = [preview_data(photos, html=tmp_path / f"{n}.html", seed=n % 2) for n in range(3)]
    first, second, third = (page.read_bytes() for page in pages)
    assert first == third != second


def test_one_change_can_be_looked_at_alone(photos: Path, tmp_path: Path) -> None:
    fix = {"augment.rotation": "0.25"}
    page = preview_data(photos, html=tmp_path / "page.html", strength=0.0, fix=fix)
    assert "with rotation 0.25." in page.read_text(encoding="utf-8")


def test_what_is_no_augmentation_is_refused(photos: Path, tmp_path: Path) -> None:
    for fix, rule in (({"batch_size": "8"}, "begin with augment"), ({"augment.spin": "1"}, "spin")):
        with pytest.raises(SpaceError, match=rule):
            preview_data(photos, html=tmp_path / "page.html", fix=fix)
    with pytest.raises(SpaceError, match="strength"):
        preview_data(photos, html=tmp_path / "page.html", strength=1.5)
    with pytest.raises(SettingsError):
        preview_data(photos, html=tmp_path / "page.html", image_size=4)
    with pytest.raises(DataError, match="cannot be written"):
        preview_data(photos, html=photos / "red" / "000.png" / "page.html")
