from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from automl_img.errors import DataError
from tests.data.listings import listed, write_table
from tests.pictures import class_folders


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("TRAIN", "dev", "test")],
)
def test_split_folders_are_known_by_their_usual_spellings(
    train: str, validation: str, test: str, tmp_path: Path, private_cache: Path
) -> None:
    for at, split in enumerate((train, validation, test)):
        class_folders(tmp_path / "d" / split, per_class=at + 1, size=8, classes=2)
    found = listed(tmp_path / "d", private_cache)
    assert found.splits is not None
    counts = {split: found.splits.count(split) for split in ("train", "validation", "test")}
    assert counts == {"train": 2, "validation": 4, "test": 6}
    assert set(found.labels) == {"blue", "green"}


def test_images_beside_the_split_folders_are_named_and_other_files_are_not(
    tmp_path: Path, private_cache: Path
) -> None:
    for split in ("train", "test"):
        class_folders(tmp_path / "d" / split, per_class=1, size=8)
    class_folders(tmp_path / "d" / "extra", per_class=1, size=8, classes=1)
    (tmp_path / "d" / "docs").mkdir()
    (tmp_path / "d" / "docs" / "about.md").write_text("none")
    (tmp_path / "d" / "again").symlink_to(tmp_path / "d" / "train", target_is_directory=True)
    shutil.copy(tmp_path / "d" / "train" / "red" / "000.png", tmp_path / "d" / "test" / "one.png")
    shutil.copy(tmp_path / "d" / "train" / "red" / "000.png", tmp_path / "d" / "two.png")
    found = listed(tmp_path / "d", private_cache)
    assert len(found.paths) == 6
    assert {item.name: item.reason for item in found.left_out} == {
        "extra/blue/000.png": "beside the folders of the splits",
        "test/one.png": "not in a class folder",
        "two.png": "not in a class folder",
    }


def test_classes_named_like_splits_stay_classes_when_images_lie_in_them(
    tmp_path: Path, private_cache: Path
) -> None:
    source = class_folders(tmp_path / "source", per_class=2, size=8, classes=2)
    (tmp_path / "vehicles").mkdir()
    (source / "blue").rename(tmp_path / "vehicles" / "train")
    (source / "green").rename(tmp_path / "vehicles" / "test")
    found = listed(tmp_path / "vehicles", private_cache)
    assert found.splits is None
    assert found.classes == ("test", "train")


def test_a_test_folder_without_a_train_folder_is_refused(
    tmp_path: Path, private_cache: Path
) -> None:
    class_folders(tmp_path / "d" / "val", per_class=1)
    class_folders(tmp_path / "d" / "test", per_class=1)
    with pytest.raises(DataError, match="must have a train folder"):
        listed(tmp_path / "d", private_cache)


def test_a_class_is_the_first_folder_and_what_lies_deeper_belongs_to_it(
    tmp_path: Path, private_cache: Path
) -> None:
    class_folders(tmp_path / "d" / "fruit", per_class=2, size=8, classes=2)
    class_folders(tmp_path / "d" / "sweets", per_class=1, size=8, classes=1)
    found = listed(tmp_path / "d", private_cache)
    assert sorted(found.labels) == ["fruit"] * 4 + ["sweets"]
    assert "fruit/blue/000.png" in found.names


def test_hidden_and_other_files_do_not_count_and_loose_images_are_named(
    photos: Path, private_cache: Path
) -> None:
    (photos / "blue" / ".000.png").write_bytes(b"")
    (photos / ".git").mkdir()
    (photos / "blue" / "notes.txt").write_text("none")
    (photos / "blue" / "000.png").rename(photos / "loose.PNG")
    found = listed(photos, private_cache)
    assert len(found.paths) == 59
    assert found.classes == ("blue", "green", "red")
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("loose.PNG", "not in a class folder")
    ]


def test_links_that_lead_in_circles_or_nowhere_end(photos: Path, private_cache: Path) -> None:
    (photos / "blue" / "up").symlink_to(photos, target_is_directory=True)
    (photos / "blue" / "self").symlink_to("self")
    (photos / "blue" / "again").symlink_to(photos / "blue", target_is_directory=True)
    (photos / "blue" / "gone.png").symlink_to(photos / "nowhere.png")
    os.mkfifo(photos / "red" / "pipe.png")
    found = listed(photos, private_cache)
    assert len(found.paths) == 60
    assert [item.name for item in found.left_out] == ["blue/gone.png", "red/pipe.png"]


def test_classes_that_differ_by_case_are_two(photos: Path, private_cache: Path) -> None:
    class_folders(photos / "x", per_class=2, size=8, classes=1)
    (photos / "x" / "blue").rename(photos / "Blue")
    (photos / "x").rmdir()
    assert {"Blue", "blue"} <= set(listed(photos, private_cache).classes)


def test_names_that_are_no_unicode_can_be_shown_and_opened(
    photos: Path, private_cache: Path
) -> None:
    odd = os.fsencode(photos / "blue") + b"/\xff.png"
    os.rename(photos / "blue" / "000.png", odd)
    found = listed(photos, private_cache)
    at = next(at for at, name in enumerate(found.names) if "udcff" in name)
    assert found.names[at].encode("utf-8")
    assert os.path.isfile(found.paths[at])


def test_single_folders_around_the_classes_are_passed(
    photos: Path, private_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "outer" / "middle").mkdir(parents=True)
    photos.rename(tmp_path / "outer" / "middle" / "photos")
    assert listed(tmp_path / "outer", private_cache).classes == ("blue", "green", "red")


def test_a_flat_folder_with_a_table_points_to_the_table(
    tmp_path: Path, private_cache: Path
) -> None:
    write_table(tmp_path / "d", "path,label\n0.png,a\n")
    with pytest.raises(DataError, match=r"labels\.csv"):
        listed(tmp_path / "d", private_cache)
