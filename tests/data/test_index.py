from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data.classes import natural
from automl_img.data.index import DataIndex, read_index
from automl_img.data.listing import Columns, LeftOut, listing_of
from automl_img.errors import DataError
from automl_img.events import Event, Progress
from tests.pictures import class_folders


def indexed(data: Path | str, cache: Path) -> DataIndex:
    return read_index(listing_of(str(data), Columns(), cache))


def of_sizes(folder: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    for at, size in enumerate(sizes):
        (folder / "ab"[at % 2]).mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, at).save(folder / "ab"[at % 2] / f"{at}.png")
    return folder


def test_classes_are_sorted_as_people_do() -> None:
    names = ["10", "2", "b", "A", "a", "image 10", "image 9", "1"]
    assert sorted(names, key=natural) == ["1", "2", "10", "A", "a", "b", "image 9", "image 10"]


def test_columns_have_one_row_an_image(photos: Path, private_cache: Path) -> None:
    index = indexed(photos, private_cache)
    assert len(index) == 60
    assert index.class_names == ("blue", "green", "red")
    assert index.labels.dtype == np.int64
    assert np.bincount(index.labels).tolist() == [20, 20, 20]
    assert index.digests.shape == (60, 16)
    assert index.splits is None
    assert not index.left_out


def test_what_is_no_image_is_left_out_and_a_class_of_such_too(
    photos: Path, private_cache: Path
) -> None:
    for path in (photos / "green").iterdir():
        path.write_bytes(b"broken")
    (photos / "empty").mkdir()
    index = indexed(photos, private_cache)
    assert len(index) == 40
    assert index.class_names == ("blue", "red")
    assert set(index.labels.tolist()) == {0, 1}
    assert {item.name for item in index.left_out if item.what == "class"} == {"empty", "green"}
    assert sum(item.what == "image" for item in index.left_out) == 20


def test_data_without_one_readable_image_is_refused(photos: Path, private_cache: Path) -> None:
    for path in photos.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="not one of 60 can be"):
        indexed(photos, private_cache)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)] * 4, 28),
        ([(64, 64)] * 4, 64),
        ([(65, 65)] * 4, 128),
        ([(640, 480)] * 4, 128),
        ([(4, 4)] * 4, 8),
        ([(32, 100)] * 3 + [(500, 500)], 32),
    ],
)
def test_the_image_size_is_their_own_when_small_else_128(
    sizes: list[tuple[int, int]], expected: int, tmp_path: Path, private_cache: Path
) -> None:
    assert indexed(of_sizes(tmp_path / "d", sizes), private_cache).image_size == expected


def test_channels_are_one_only_where_all_images_are_grey(
    tmp_path: Path, private_cache: Path
) -> None:
    folder = of_sizes(tmp_path / "d", [(8, 8)] * 4, mode="L")
    assert indexed(folder, private_cache).channels == 1
    Image.new("RGB", (8, 8)).save(folder / "a" / "colour.png")
    assert indexed(folder, private_cache).channels == 3


def test_rows_go_with_a_reason_and_labels_close_ranks(photos: Path, private_cache: Path) -> None:
    index = indexed(photos, private_cache)
    green = np.flatnonzero(index.labels == 1)
    shorter = index.without(green, "too green")
    assert shorter.class_names == ("blue", "red")
    assert np.bincount(shorter.labels).tolist() == [20, 20]
    assert shorter.left_out[0] == LeftOut("green/000.png", "too green")
    assert shorter.left_out[-1] == LeftOut("green", "no image of this class is left", "class")
    for label, name in zip(shorter.labels.tolist(), shorter.names, strict=True):
        assert name.startswith(shorter.class_names[label])


def test_a_limit_holds_for_each_class_and_split_and_is_seeded(
    tmp_path: Path, private_cache: Path
) -> None:
    class_folders(tmp_path / "d" / "train", per_class=9, size=8)
    class_folders(tmp_path / "d" / "test", per_class=3, size=8, seed=1)
    index = indexed(tmp_path / "d", private_cache)
    limited = index.limit_per_class(4, seed=0)
    assert limited.splits is not None
    assert np.bincount(limited.splits, minlength=3).tolist() == [12, 0, 9]
    assert np.bincount(limited.labels).tolist() == [7, 7, 7]
    assert limited.names == index.limit_per_class(4, seed=0).names
    assert limited.names != index.limit_per_class(4, seed=1).names
    assert not limited.left_out


def test_the_fingerprint_changes_with_content_name_and_label(
    photos: Path, private_cache: Path
) -> None:
    index = indexed(photos, private_cache)
    assert indexed(photos, private_cache).fingerprint == index.fingerprint
    others = [
        dataclasses.replace(index, names=("other", *index.names[1:])),
        dataclasses.replace(index, labels=index.labels[::-1].copy()),
        dataclasses.replace(index, digests=index.digests ^ 1),
        dataclasses.replace(index, splits=np.zeros(60, np.int8)),
        dataclasses.replace(index, class_names=("blue", "green", "rot")),
    ]
    assert len({other.fingerprint for other in (index, *others)}) == 6


def test_progress_ends_at_the_number_of_images(photos: Path, private_cache: Path) -> None:
    events: list[Event] = []
    read_index(listing_of(str(photos), Columns(), private_cache), events.append)
    assert events[-1] == Progress(60, 60)
