from __future__ import annotations

import copy
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data.decode import decode
from automl_img.data.prepare import Prepared, prepare
from automl_img.errors import DataError
from automl_img.events import Event, Listener, Notice, Phase, ignore
from automl_img.settings import SearchSettings
from tests.pictures import class_folders

ROOT = Path(__file__).parents[2]


def prepared(data: Path | str, listener: Listener = ignore, **more: object) -> Prepared:
    return prepare(SearchSettings.model_validate({"data": str(data), **more}), listener)


def with_splits(folder: Path) -> Path:
    for seed, split in enumerate(("train", "val", "test")):
        class_folders(folder / split, per_class=6, size=16, seed=seed)
    return folder


def test_rows_labels_and_pixels_belong_together(photos: Path) -> None:
    found = prepared(photos)
    arrays = found.rows_arrays()
    assert len(arrays["train"]) == 48
    assert len(arrays["validation"]) == 6
    assert found.test.count == 6
    assert found.pixels.images.shape == (54, 16, 16, 3)
    assert sorted([*arrays["train"], *arrays["validation"]]) == list(range(54))
    for part in ("train", "validation"):
        for row, at in zip(arrays[part], found.split.parts()[part], strict=True):
            assert arrays["labels"][row] == found.index.labels[at]
            expected = decode(Path(found.index.paths[at]), 16, 3)
            assert np.array_equal(found.pixels.images[row], expected)
    assert found.class_counts == {
        "train": (16, 16, 16),
        "validation": (2, 2, 2),
        "test": (2, 2, 2),
    }
    names = [found.index.names[row] for row in found.split.validation]
    assert list(found.names_of_validation) == names
    assert found.notices == ()


def test_no_test_image_is_decoded_for_a_model_before_the_seal_is_opened(tmp_path: Path) -> None:
    data = with_splits(tmp_path / "d")

    def destroy_the_test_images(event: Event) -> None:
        if isinstance(event, Phase) and event.text.startswith("decoding"):
            shutil.rmtree(data / "test", ignore_errors=True)

    found = prepared(data, destroy_the_test_images)
    assert not (data / "test").exists()
    assert found.pixels.images.shape[0] == 36
    with pytest.raises(DataError, match="start again"):
        found.test.open()


def test_no_pixel_of_a_test_image_is_in_any_file_before_it_is_opened(
    photos: Path, private_cache: Path
) -> None:
    found = prepared(photos)
    cached = {image.tobytes() for image in found.pixels.images}
    tests = {decode(Path(found.index.paths[row]), 16, 3).tobytes() for row in found.split.test}
    assert len(tests) == 6
    assert not cached & tests
    assert not set(found.split.test.tolist()) & set(np.flatnonzero(found.cache_rows >= 0).tolist())
    for file in private_cache.rglob("*.npy"):
        content = file.read_bytes()
        assert not any(pixels in content for pixels in tests)
    opened = found.test.open()
    assert {image.tobytes() for image in opened.images} == tests
    # Of the looks at all images, of those that are trained on, and of those for the test.
    assert len(list(private_cache.rglob("*.npy"))) == 3


def test_the_test_images_open_once_and_do_not_travel(photos: Path) -> None:
    found = prepared(photos)
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        for value in (found.test, found):
            if travel is copy.copy and value is found:
                continue
            with pytest.raises(TypeError, match="test images"):
                travel(value)  # type: ignore[operator]
    opened = found.test.open()
    assert opened.images.shape == (6, 16, 16, 3)
    assert opened.labels.tolist() == found.index.labels[found.split.test].tolist()
    assert opened.names == tuple(found.index.names[row] for row in found.split.test)
    with pytest.raises(RuntimeError, match="read once"):
        found.test.open()


def test_test_images_that_cannot_be_decoded_are_left_out(tmp_path: Path) -> None:
    data = with_splits(tmp_path / "d")
    broken = data / "test" / "green" / "001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    found = prepared(data)
    assert found.test.count == 17
    assert [item.name for item in found.left_out] == ["test/green/001.png"]
    # Where nobody looks for copies, they are found as the test is opened.
    found = prepared(data, keep_copies=True)
    events: list[Event] = []
    opened = found.test.open(events.append)
    assert found.test.count == 18
    assert len(opened.images) == len(opened.labels) == len(opened.names) == 17
    assert [item.name for item in opened.left_out] == ["test/green/001.png"]
    assert opened.labels.tolist() == [0] * 6 + [1] * 5 + [2] * 6
    assert Notice("1 of 18 test images were left out") in events


@pytest.mark.parametrize("looked_at", [True, False])
def test_what_fails_to_decode_goes_and_a_class_of_such_goes_by_name(
    photos: Path, looked_at: bool
) -> None:
    for path in [*(photos / "green").iterdir(), photos / "red" / "005.png"]:
        path.write_bytes(path.read_bytes()[:200])
    (photos / "blue" / "000.png").write_bytes(b"no image")
    (photos / "blue" / "001.png").write_bytes((photos / "blue" / "002.png").read_bytes())
    events: list[Event] = []
    found = prepared(photos, events.append, keep_copies=not looked_at)
    assert found.class_names == ("blue", "red")
    arrays = found.rows_arrays()
    rows = np.concatenate([arrays["train"], arrays["validation"]])
    assert set(arrays["labels"][rows].tolist()) == {0, 1}
    assert all(found.pixels.images[row].any() for row in rows)
    unused = np.setdiff1d(np.arange(len(arrays["labels"])), rows)
    # Found as the pixels are decoded, they have rows there.
    assert set(arrays["labels"][unused].tolist()) == (set() if looked_at else {-1})
    for row, at in zip(arrays["train"], found.split.train, strict=True):
        expected = decode(Path(found.index.paths[at]), 16, 3)
        assert np.array_equal(found.pixels.images[row], expected)
    told = [event.text for event in events if isinstance(event, Notice)]
    assert told == list(found.notices)
    assert len(told) == 2
    assert "of 60 images were left out (first: blue/000.png: not an image" in told[0]
    assert "1 class without any training image left out: 'green'" in told[1]


def test_classes_never_trained_go_from_the_test_set(tmp_path: Path) -> None:
    data = with_splits(tmp_path / "d")
    shutil.rmtree(data / "train" / "blue")
    found = prepared(data)
    assert found.class_names == ("green", "red")
    assert found.test.count == 12
    assert found.class_counts["validation"] == (6, 6)
    assert "12 of 48 images were left out" in found.notices[0]


def test_copies_are_kept_in_one_part_and_counted_once_in_the_test(tmp_path: Path) -> None:
    data = with_splits(tmp_path / "d")
    for copy_of, place in (
        ("train/red/000.png", "test/red/copy.png"),
        ("train/red/001.png", "val/red/copy.png"),
        ("test/blue/000.png", "test/blue/copy.png"),
        ("train/green/000.png", "train/green/copy.png"),
    ):
        shutil.copy(data / copy_of, data / place)
    found = prepared(data)
    gone = {item.name: item.reason for item in found.left_out}
    assert gone == {
        "train/red/000.png": "a copy of a validation or test image",
        "train/red/001.png": "a copy of a validation or test image",
        "test/blue/copy.png": "a copy of another test image",
    }
    assert found.class_counts["train"] == (6, 7, 4)
    assert found.test.count == 19
    assert "2 images were left out (a copy of a validation or test image)" in found.notices[0]
    assert "1 image was left out (a copy of another test image)" in found.notices[1]
    kept = prepared(data, keep_copies=True)
    assert kept.left_out == ()
    assert kept.test.count == 20
    assert "2 validation or test images are identical" in kept.notices[0]


def table_of(photos: Path, split: str = "") -> Path:
    """The images of class folders, one person for each two of every class."""
    lines = [
        f"{path.relative_to(photos.parent)},{path.parent.name},p{int(path.stem) // 2},{split}"
        for path in sorted(photos.rglob("*.png"))
    ]
    table = photos.parent / "people.csv"
    table.write_text("path,label,who,split\n" + "\n".join(lines))
    return table


def test_a_group_is_in_one_part_alone(photos: Path) -> None:
    table = table_of(photos)
    table.write_text(table.read_text().replace(",split", "").replace(",\n", "\n"))
    found = prepared(table, group_column="who")
    people = [int(Path(name).stem) // 2 for name in found.index.names]
    parts = [{people[row] for row in rows} for rows in found.split.parts().values()]
    assert [len(part) for part in parts] == [8, 1, 1]
    assert len(set.union(*parts)) == 10
    # Without the column a person is in several.
    alone = prepared(table)
    parts = [{people[row] for row in rows} for rows in alone.split.parts().values()]
    assert parts[0] & parts[1]


def test_of_a_group_that_came_in_two_parts_the_later_part_keeps_it(photos: Path) -> None:
    table = table_of(photos, "train")
    lines = table.read_text().splitlines()
    # Of each class one image of the first person is for the test.
    lines = [line.replace("train", "test") if "000.png" in line else line for line in lines]
    table.write_text("\n".join(lines))
    found = prepared(table, group_column="who")
    gone = {Path(item.name).name for item in found.left_out}
    assert gone == {"001.png"}
    assert "3 images were left out (its group has validation or test images)" in found.notices


def test_too_little_to_learn_from_stops_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two classes"):
        prepared(class_folders(tmp_path / "one", classes=1))
    with pytest.raises(DataError, match="too few images to split"):
        prepared(class_folders(tmp_path / "few", per_class=2))


def test_settings_choose_size_limit_and_seed(photos: Path) -> None:
    found = prepared(photos, image_size=24, limit_per_class=10)
    assert found.pixels.images.shape == (24 + 3, 24, 24, 3)
    assert found.test.count == 3
    again, other = (prepared(photos, seed=seed).split.test.tolist() for seed in (0, 1))
    assert again == prepared(photos).split.test.tolist() != other


def test_a_second_run_decodes_nothing(photos: Path) -> None:
    first = prepared(photos)
    events: list[Event] = []
    assert prepared(photos, events.append).pixels == first.pixels
    assert not [e for e in events if isinstance(e, Phase) and e.text.startswith("decoding")]


@pytest.mark.parametrize(
    ("names", "mode", "flips"),
    [
        (("cat", "dog"), "RGB", True),
        (("cat", "dog"), "L", False),
        (("b", "d"), "RGB", False),
        (("3", "7"), "RGB", False),
        (("turn_left", "stop"), "RGB", False),
        (("Right hand", "foot"), "RGB", False),
        (("copyright", "bright"), "RGB", True),
    ],
)
def test_images_are_mirrored_only_where_they_keep_their_class(
    names: tuple[str, str], mode: str, flips: bool, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / "d" / name).mkdir(parents=True)
        for value in range(5):
            Image.new(mode, (8, 8), value).save(tmp_path / "d" / name / f"{value}.png")
    assert prepared(tmp_path / "d").flips is flips


def test_the_digits_are_small_grey_and_never_mirrored() -> None:
    found = prepared("digits")
    assert (found.name, found.image_size, found.channels, found.flips) == ("digits", 8, 1, False)
    assert [len(rows) for rows in found.split.parts().values()] == [1439, 179, 179]
    assert found.pixels.images.max() == 255


@pytest.mark.slow
def test_a_table_in_a_real_archive_with_another_label_column(
    shared_archive: Callable[[str], Path],
) -> None:
    found = prepared(shared_archive("grocery.zip"), label_column="coarse_label", limit_per_class=4)
    assert (found.name, len(found.class_names), found.image_size) == ("grocery", 43, 128)
    assert found.flips
    assert found.notices == ()


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = (
        "import sys, automl_img.data.prepare\n"
        "from automl_img import plugins\n"
        "from automl_img.data import sources, batches\n"
        "plugins.leaves(sources)\n"
        "heavy = {'keras', 'tensorflow', 'ray', 'optuna', 'plotly', 'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_what_a_search_holds_of_its_images_is_no_image(tmp_path: Path) -> None:
    """The driver keeps rows, names and digests; pixels stay on the disk till they are asked for."""
    found = prepared(class_folders(tmp_path / "data", per_class=30, size=64))
    assert isinstance(found.pixels.images, np.memmap)
    pixels = found.pixels.images.nbytes
    held = len(pickle.dumps((found.index, found.split, found.cache_rows, found.pixels)))
    assert held < pixels / 10
