"""Classes that belong to coarser ones."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from automl_img.data.index import read_index
from automl_img.errors import DataError, SettingsError
from tests.data.listings import listed, write_table

ROWS = [("0.png", "b", "x"), ("1.png", "a", "y"), ("2.png", "c", "x"), ("3.png", "b", "x")]


def test_each_class_has_its_coarser_one_in_every_kind_of_table(
    tmp_path: Path, private_cache: Path
) -> None:
    text = "\n".join(["path,label,kind", *map(",".join, ROWS)])
    tables = [write_table(tmp_path, text), tmp_path / "t.jsonl", tmp_path / "t.parquet"]
    objects = [dict(zip(("path", "label", "kind"), row, strict=True)) for row in ROWS]
    tables[1].write_text("\n".join(map(json.dumps, objects)))
    parquet.write_table(pa.Table.from_pylist(objects), tables[2])
    for table in tables:
        index = read_index(listed(table, private_cache, coarse="kind"))
        assert index.class_names == ("a", "b", "c")
        assert index.coarse == ("y", "x", "x")
        assert index.without([1], "gone").coarse == ("x", "x")
        assert read_index(listed(table, private_cache)).coarse is None


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ("0.png,a,x\n1.png,a,y\n2.png,b,x", "'a' of labels.csv belongs to 'x' and 'y'"),
        ("0.png,a,x\n1.png,b,", "'b' of labels has none in any row"),
    ],
)
def test_a_class_with_two_coarser_ones_or_none_is_refused(
    rows: str, rule: str, tmp_path: Path, private_cache: Path
) -> None:
    table = write_table(tmp_path, f"path,label,kind\n{rows}")
    with pytest.raises(DataError, match=rule):
        read_index(listed(table, private_cache, coarse="kind"))


def test_images_with_several_classes_have_no_coarser_ones(
    tmp_path: Path, private_cache: Path
) -> None:
    table = write_table(tmp_path, "path,label,kind\n0.png,a|b,x\n1.png,b,x")
    with pytest.raises(DataError, match="need images with one class each"):
        read_index(listed(table, private_cache, coarse="kind", separator="|"))


def test_a_column_that_is_not_there_is_named(tmp_path: Path, private_cache: Path) -> None:
    table = write_table(tmp_path, "path,label,kind\n0.png,a,x")
    with pytest.raises(SettingsError, match="has no column 'kinds'; did you mean 'kind'"):
        listed(table, private_cache, coarse="kinds")


def test_class_folders_have_no_such_column(photos: Path, private_cache: Path) -> None:
    with pytest.raises(SettingsError, match="--coarse-column"):
        listed(photos, private_cache, coarse="kind")
