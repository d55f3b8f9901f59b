"""Parquet files and data sets of Hugging Face, with paths or with the images themselves."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from automl_img.data import unpacking
from automl_img.errors import DataError, SettingsError
from tests.data.listings import class_labels, listed, rows_of, saved
from tests.pictures import class_folders


def write(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=5)
    return path


def content(paths: tuple[str, ...]) -> list[bytes]:
    return [Path(path).read_bytes() for path in paths]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", per_class=4, size=8)


def test_images_of_a_column_are_unpacked_byte_for_byte_once(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    rows = rows_of(photos, content=True)
    file = write(class_labels(rows), tmp_path / "images.parquet")
    found = listed(file, private_cache)
    originals = sorted(photos.rglob("*.png"))
    assert content(found.paths) == [path.read_bytes() for path in originals]
    assert found.names == tuple(path.name for path in originals)
    assert found.labels == tuple(path.parent.name for path in originals)
    assert all(Path(path).is_relative_to(private_cache) for path in found.paths)
    before = [Path(path).stat().st_mtime_ns for path in found.paths]
    assert listed(file, private_cache) == found
    assert [Path(path).stat().st_mtime_ns for path in found.paths] == before


def test_plain_bytes_are_named_by_their_place_and_empty_ones_left_out(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    image = next(photos.rglob("*.png")).read_bytes()
    rows = [
        {"image": image, "label": "a"},
        {"image": None, "label": "a"},
        {"image": b"", "label": "b"},
        {"image": image, "label": None},
    ]
    found = listed(write(pa.Table.from_pylist(rows), tmp_path / "t.parquet"), private_cache)
    assert found.names == ("t.parquet#0",)
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("t.parquet#1", "no such file"),
        ("t.parquet#2", "no such file"),
        ("t.parquet#3", "no label in the table"),
    ]


def test_a_folder_of_parquet_files_has_the_splits_of_their_names(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    table = class_labels(rows_of(photos, content=True))
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        write(table, tmp_path / "set" / "data" / f"{name}.parquet")
    found = listed(tmp_path / "set", private_cache)
    assert found.kind == "parquet"
    assert found.splits == ("test",) * 12 + ("train",) * 24
    assert len(set(found.paths)) == 36


def test_class_folders_stay_such_where_tables_lie_beside_them(
    photos: Path, private_cache: Path
) -> None:
    write(pa.table({"vector": [1.0]}), photos / "embeddings.parquet")
    (photos / "state.json").write_text("{}")
    assert listed(photos, private_cache).kind == "folder"


def test_a_column_of_splits_counts_more_than_names(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    rows = [{**row, "split": "val"} for row in rows_of(photos)]
    write(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    assert set(listed(tmp_path / "train.parquet", private_cache).splits or ()) == {"validation"}


def test_labels_may_be_numbers_texts_or_truths(tmp_path: Path, private_cache: Path) -> None:
    photos = class_folders(tmp_path / "photos", per_class=1, size=8)
    paths = [row["image"] for row in rows_of(photos)]
    for values, expected in (
        ([3, 1, 3], ("3", "1", "3")),
        ([True, False, True], ("true", "false", "true")),
        ([" a", "b ", "c"], ("a", "b", "c")),
    ):
        table = pa.table({"path": paths, "class": values})
        assert listed(write(table, tmp_path / "t.parquet"), private_cache).labels == expected


def test_a_saved_dictionary_of_data_sets_has_a_split_a_folder(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    root = tmp_path / "all"
    for split in ("train", "test"):
        saved(photos, root / split, split)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    found = listed(root, private_cache)
    assert found.kind == "hugging_face"
    assert found.splits == ("train",) * 12 + ("test",) * 12
    assert set(found.labels) == {"blue", "green", "red"}


@pytest.mark.parametrize("name", ["../photos", "/etc", "..", "a\\b"])
def test_names_in_a_saved_data_set_lead_nowhere(
    photos: Path, tmp_path: Path, private_cache: Path, name: str
) -> None:
    folder = saved(photos, tmp_path / "saved")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(DataError, match="has none"):
        listed(folder, private_cache)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    with pytest.raises(DataError, match="must be train, validation and test"):
        listed(folder, private_cache)


@pytest.mark.parametrize("cut", [0, 10, 2000])
def test_a_damaged_file_is_one_sentence(
    photos: Path, tmp_path: Path, private_cache: Path, cut: int
) -> None:
    file = write(class_labels(rows_of(photos, content=True)), tmp_path / "t.parquet")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DataError, match="must be a whole Parquet file, but"):
        listed(file, private_cache)
    folder = saved(photos, tmp_path / "saved")
    [arrow] = folder.glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:cut])
    with pytest.raises(DataError, match="must be a whole Arrow file, but"):
        listed(folder, private_cache)


def test_a_missing_column_is_named_with_those_there_are(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    file = write(pa.Table.from_pylist(rows_of(photos)), tmp_path / "t.parquet")
    with pytest.raises(SettingsError, match="no column 'lable'; did you mean 'label'"):
        listed(file, private_cache, label="lable")
    file = write(pa.table({"a": [1]}), tmp_path / "t.parquet")
    with pytest.raises(SettingsError, match="must have a column of paths"):
        listed(file, private_cache)


def test_json_lines_may_lack_keys_and_must_be_objects(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    table = tmp_path / "t.jsonl"
    name = str(rows_of(photos)[0]["image"])
    lines = [{"image": name, "label": 7}, {"label": "b"}, {"image": name, "label": {"a": 1}}]
    table.write_text("\n\n".join(map(json.dumps, lines)))
    found = listed(table, private_cache)
    assert found.labels == ("7",)
    assert [item.reason for item in found.left_out] == [
        "no path in the table",
        "no label in the table",
    ]
    for bad in ("[1]", "{", "1", "[" * 100_000, '{"label": ' + "9" * 5000 + "}"):
        table.write_text(f"{json.dumps(lines[0])}\n{bad}\n")
        with pytest.raises(DataError, match="line 2 is none"):
            listed(table, private_cache)


def test_a_file_whose_name_says_no_split_beside_those_that_do_is_refused(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    table = class_labels(rows_of(photos, content=True))
    for name in ("train-0", "test-0", "extra-0"):
        write(table, tmp_path / "set" / f"{name}.parquet")
    with pytest.raises(DataError, match=r"one is 'extra-0\.parquet'"):
        listed(tmp_path / "set", private_cache)


def test_each_file_has_its_own_class_names(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    rows = rows_of(photos, content=True)
    table = class_labels(rows)
    other = table.set_column(1, "label", pa.array([2 - int(v) for v in table["label"].to_pylist()]))
    features = {"label": {"names": ["red", "green", "blue"], "_type": "ClassLabel"}}
    told = json.dumps({"info": {"features": features}})
    write(table, tmp_path / "set" / "train-0.parquet")
    write(other.replace_schema_metadata({"huggingface": told}), tmp_path / "set" / "test-0.parquet")
    found = listed(tmp_path / "set", private_cache)
    assert found.labels[:12] == found.labels[12:] == tuple(str(row["label"]) for row in rows)


def test_a_column_of_images_comes_before_one_of_file_names(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    rows = [{**row, "filename": "gone.png"} for row in rows_of(photos, content=True)]
    found = listed(write(pa.Table.from_pylist(rows), tmp_path / "t.parquet"), private_cache)
    assert len(found.paths) == 12
    assert not found.left_out


def test_images_whose_bytes_are_missing_are_looked_for_by_their_path(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    rows = rows_of(photos, content=True)
    path = str(rows_of(photos)[0]["image"])
    rows[0]["image"] = {"bytes": None, "path": path}
    found = listed(write(pa.Table.from_pylist(rows), tmp_path / "t.parquet"), private_cache)
    assert found.paths[0] == str(tmp_path / path)


@pytest.mark.parametrize("layout", ["data", "plain_text", "train+test"])
def test_usual_layouts_of_parquet_files_are_found(
    photos: Path, tmp_path: Path, private_cache: Path, layout: str
) -> None:
    table = class_labels(rows_of(photos, content=True))
    for split in ("train", "test"):
        file = f"{split}/0000.parquet" if "+" in layout else f"{layout}/{split}-0.parquet"
        write(table, tmp_path / "set" / file)
    found = listed(tmp_path / "set", private_cache)
    assert sorted(found.splits or ()) == ["test"] * 12 + ["train"] * 12


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"image": "a.png", "label": 1}, "must hold bytes and path"),
        ({"picture": "a.png", "label": 1}, "must have one column 'image'"),
        ({"image": {"bytes": b"x", "path": "p"}, "label": [1]}, "text or a number"),
    ],
)
def test_a_later_file_with_other_columns_is_named(
    photos: Path, tmp_path: Path, private_cache: Path, other: dict[str, object], says: str
) -> None:
    write(pa.Table.from_pylist(rows_of(photos, content=True)), tmp_path / "set" / "train-0.parquet")
    write(pa.Table.from_pylist([other]), tmp_path / "set" / "train-1.parquet")
    with pytest.raises(DataError, match=says):
        listed(tmp_path / "set", private_cache)


def test_a_later_file_that_is_no_parquet_is_named(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    write(class_labels(rows_of(photos, content=True)), tmp_path / "set" / "train-0.parquet")
    pointer = tmp_path / "set" / "train-1.parquet"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"train-1\.parquet must be a whole Parquet file"):
        listed(tmp_path / "set", private_cache)


@pytest.mark.parametrize("state", [{"_data_files": None}, {"_data_files": 3}, {}, []])
def test_a_saved_data_set_with_odd_files_is_a_sentence(
    photos: Path, tmp_path: Path, private_cache: Path, state: object
) -> None:
    folder = saved(photos, tmp_path / "saved")
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="_data_files"):
        listed(folder, private_cache)


def test_a_file_that_a_saved_data_set_lacks_is_named(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    folder = saved(photos, tmp_path / "saved")
    (folder / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        listed(folder, private_cache)


def test_what_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "ALWAYS_FINE", 10**6)
    rows = [{"image": b"\0" * 10**5, "label": "a"}] * 200
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), file, compression="zstd")
    assert file.stat().st_size < 10**5
    with pytest.raises(DataError, match="must unpack to at most"):
        listed(file, private_cache)
    assert not list((private_cache / "unpacked").glob("[!.]*/*/*/*"))


def test_gaps_are_no_class_and_numbers_stay_such(tmp_path: Path, private_cache: Path) -> None:
    photos = class_folders(tmp_path / "photos", per_class=1, size=8)
    paths = [row["image"] for row in rows_of(photos)]
    table = pa.table({"path": paths, "class": [1.0, float("nan"), 2.5]})
    found = listed(write(table, tmp_path / "t.parquet"), private_cache)
    assert found.labels == ("1", "2.5")
    assert [item.reason for item in found.left_out] == ["no label in the table"]


def test_a_full_disk_is_said_to_be_one(
    photos: Path, tmp_path: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(class_labels(rows_of(photos, content=True)), tmp_path / "t.parquet")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"cache .* must be writable, but No space left"):
        listed(file, private_cache)
