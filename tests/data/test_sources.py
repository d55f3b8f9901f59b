from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from automl_img import plugins
from automl_img.data import pixels, sources
from automl_img.data.cache import NoRoom
from automl_img.data.prepare import prepare
from automl_img.data.stream import StreamedImages
from automl_img.errors import DataError
from automl_img.settings import SearchSettings
from tests.data.listings import listed, rows_of, saved, zipped
from tests.data.servers import Site
from tests.pictures import class_folders

Example = Callable[[str], str]


@pytest.fixture
def example(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
) -> Example:
    """What is typed for three images of each of three classes in a source."""

    def typed(name: str) -> str:
        if name == "tensorflow_datasets":
            folder = request.getfixturevalue("catalogue_folder")
            monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
            return "tfds:photos"
        return written(name, tmp_path, site)

    return typed


def written(name: str, tmp_path: Path, site: Site) -> str:
    photos = class_folders(tmp_path / "photos", per_class=3, size=8)
    if name == "folder":
        return str(photos)
    if name == "table":
        rows = [f"photos/{p.parent.name}/{p.name},{p.parent.name}" for p in photos.rglob("*.png")]
        table = tmp_path / "photos.csv"
        table.write_text("path,label\n" + "\n".join(rows))
        return str(table)
    if name == "json_lines":
        lines = [json.dumps(row) for row in rows_of(photos)]
        table = tmp_path / "photos.jsonl"
        table.write_text("\n".join(lines))
        return str(table)
    if name == "parquet":
        target = tmp_path / "photos.parquet"
        parquet.write_table(pa.Table.from_pylist(rows_of(photos)), target)
        return str(target)
    if name == "hugging_face":
        return str(saved(photos, tmp_path / "saved" / "photos"))
    if name == "remote":
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        return f"{site.address}/photos.zip?signature=1"
    return str(zipped(photos, tmp_path / "photos.zip")) if name == "archive" else "digits"


def every_source() -> list[object]:
    # TensorFlow takes seconds to import.
    slow = {"tensorflow_datasets": pytest.mark.slow}
    names = plugins.leaf_names(sources)
    return [pytest.param(name, marks=slow.get(name, ())) for name in names]


@pytest.mark.parametrize("name", every_source())
class TestEverySource:
    def test_takes_its_own_and_says_what(self, name: str, example: Example) -> None:
        data = example(name)
        taking = [leaf.__name__ for leaf in plugins.leaves(sources) if leaf.accepts(data)]
        assert [taker.rpartition(".")[2] for taker in taking] == [name]
        assert plugins.leaf(sources, name).WHAT

    def test_lists_columns_of_one_length_and_files_that_exist(
        self, name: str, example: Example, private_cache: Path
    ) -> None:
        found = listed(example(name), private_cache)
        assert found.kind == name
        assert found.name == ("digits" if name == "builtin" else "photos")
        assert len(found.paths) == len(found.names) == len(found.labels) > 0
        assert all(os.path.isabs(path) and os.path.isfile(path) for path in found.paths)
        assert set(found.labels) == set(found.classes)
        assert found.splits is None
        assert not found.left_out

    def test_is_decoded_anew_where_its_pixels_do_not_fit_on_the_disk(
        self,
        name: str,
        example: Example,
        private_cache: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(folder: Path, needed: int) -> None:
            raise NoRoom(needed, 0, folder)

        settings = SearchSettings.model_validate({"data": example(name), "keep_copies": True})
        kept = prepare(settings)
        with monkeypatch.context() as patch:
            patch.setattr(pixels, "check_space", refuse)
            patch.setenv("AUTOML_IMG_CACHE", str(private_cache / "other"))
            streamed = prepare(settings)
        assert isinstance(kept.pixels.images, np.memmap)
        assert isinstance(streamed.pixels.images, StreamedImages)
        assert streamed.index.fingerprint == kept.index.fingerprint
        every = np.arange(len(kept.pixels.images))
        assert np.array_equal(streamed.pixels.images[every], kept.pixels.images[every])

    def test_lists_the_same_twice(self, name: str, example: Example, private_cache: Path) -> None:
        data = example(name)
        assert listed(data, private_cache) == listed(data, private_cache)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("ftp://me:s3cret@host/photos.zip", "but is of ftp://; copy the data to one of these"),
        ("HF+x://some/thing", "but is of hf+x://; copy"),
        ("file:///home/me/photos", "but is of file://; give the path alone"),
        ("s3:///photos", "name a bucket or host behind s3://, but there is none"),
        ("https://", "name a bucket or host behind https://, but there is none"),
    ],
)
def test_a_url_of_another_kind_is_refused_by_its_scheme(
    data: str, why: str, private_cache: Path
) -> None:
    with pytest.raises(DataError, match=re.escape(why)) as told:
        listed(data, private_cache)
    assert "what is taken" not in str(told.value)
    assert "s3cret" not in str(told.value)


def test_data_of_no_known_kind_is_told_what_is_taken(tmp_path: Path, private_cache: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; did you mean 'digits'.*zip or tar"):
        listed("digts", private_cache)
    (tmp_path / "x.pdf").write_bytes(b"")
    with pytest.raises(DataError, match="of no known kind"):
        listed(tmp_path / "x.pdf", private_cache)
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no folder"):
        listed(tmp_path / "empty", private_cache)


@pytest.mark.parametrize("data", ["", "~nobody-at-all/x", "a\0b", "x" * 5000])
def test_what_cannot_be_a_path_is_refused_like_any_other(data: str, private_cache: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        listed(data, private_cache)
