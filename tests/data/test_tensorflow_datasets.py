from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from automl_img.data.listing import Columns, listing_of
from automl_img.errors import DataError, SettingsError
from automl_img.events import Event, Phase
from tests.data.listings import listed


@pytest.fixture
def prepared(catalogue_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(catalogue_folder))
    return catalogue_folder


@pytest.mark.slow
def test_images_come_as_they_are_with_their_splits_and_once(
    prepared: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A copy, which can be taken away.
    shutil.copytree(prepared, tmp_path / "data")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    events: list[Event] = []
    found = listing_of("tfds:parted:1.0.0", Columns(), private_cache, events.append)
    assert (found.name, found.kind) == ("parted", "tensorflow_datasets")
    assert found.splits is not None
    assert [found.splits.count(s) for s in ("train", "validation", "test")] == [9, 9, 9]
    assert found.classes == ("T-shirt-top", "_..", "red")
    assert [found.labels.count(name) for name in found.classes] == [9, 9, 9]
    assert all(Path(path).read_bytes().startswith(b"\xff\xd8\xff") for path in found.paths)
    assert Phase("getting the images of tfds:parted:1.0.0") in events
    shutil.rmtree(tmp_path / "data")
    assert listed("tfds:parted:1.0.0", private_cache) == found


@pytest.mark.slow
def test_images_without_a_label_are_left_out_and_counted(
    prepared: Path, private_cache: Path
) -> None:
    found = listed("tfds:unlabelled", private_cache)
    assert len(found.paths) == 15
    assert [(each.name, each.reason) for each in found.left_out] == [
        ("3 images of unlabelled", "no label in the data set")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("extra", "^the splits of tfds:extra must be .* they are 'train', 'extra'; take a data"),
        ("pictures", "^tfds:pictures must have an image and a class .* it has 'image'; take one"),
        ("food10", "^tensorflow-datasets has no data set 'food10'; did you mean 'food101'.; look"),
        ("food101:9.9.9", "^tfds:food101:9.9.9 must be there .* cannot be loaded at version 9.9.9"),
        # No network is behind that address.
        (
            "beans",
            "^tfds:beans must be downloaded once, .*no connection to .* TFDS_DATA_DIR",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_leaves_nothing(
    name: str, message: str, prepared: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=message) as told:
        listed(f"tfds:{name}", private_cache)
    assert "\n" not in str(told.value)
    assert not [path for path in (private_cache / "tfds").glob("*") if path.is_dir()]


@pytest.mark.parametrize("data", ["tfds:", "tfds:../x", "tfds:a b", "tfds:huggingface:x", "tfds:é"])
def test_what_is_no_name_is_refused(data: str, private_cache: Path) -> None:
    with pytest.raises(DataError, match="must be as tfds:food101"):
        listed(data, private_cache)


def test_a_missing_package_is_told_with_its_extra(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"package tensorflow-datasets, .*'automl-img\[tfds\]'"):
        listed("tfds:food101", private_cache)


def test_a_program_that_dies_is_one_sentence(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As it would if the system took its memory: it says nothing of that itself.
    (tmp_path / "tensorflow_datasets.py").write_text("import sys; sys.exit('out of something')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"written as files once, but .*'out of something'"):
        listed("tfds:food101", private_cache)


def test_columns_need_a_table(private_cache: Path) -> None:
    with pytest.raises(SettingsError, match="--label-column needs a table, but 'tfds:food101'"):
        listed("tfds:food101", private_cache, label="x")
