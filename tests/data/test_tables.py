from __future__ import annotations

from pathlib import Path

import pytest

from automl_img.errors import DataError, SettingsError
from tests.data.listings import listed, write_table


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_table_may_use_any_usual_delimiter_and_a_byte_order_mark(
    mark: str, tmp_path: Path, private_cache: Path
) -> None:
    rows = [["File_Name", "Category", "subset"], ["0.png", "a, b", "TRAIN"], ["1.png", "c", "dev"]]
    quoted = "\r\n".join(mark.join(f'"{cell}"' for cell in row) for row in rows)
    table = write_table(tmp_path / "d", "\ufeff" + quoted)
    found = listed(table, private_cache)
    assert found.labels == ("a, b", "c")
    assert found.splits == ("train", "validation")


def test_a_table_leaves_out_rows_that_name_no_image_or_label(
    tmp_path: Path, private_cache: Path
) -> None:
    text = "path,label\n0.png,a\nsub\\1.png,b\n2.png,\n9.png,lost\n,a\n\n"
    table = write_table(tmp_path / "d", text)
    (tmp_path / "d" / "sub").mkdir()
    (tmp_path / "d" / "1.png").rename(tmp_path / "d" / "sub" / "1.png")
    found = listed(table, private_cache)
    assert found.names == ("0.png", "sub/1.png")
    assert [(item.name, item.reason) for item in found.left_out] == [
        ("2.png", "no label in the table"),
        ("9.png", "no such file"),
        ("(no path)", "no path in the table"),
    ]
    assert found.classes == ("a", "b", "lost")


def test_columns_can_be_named_and_a_wrong_name_gets_a_hint(
    tmp_path: Path, private_cache: Path
) -> None:
    table = write_table(tmp_path / "d", "where,fine,coarse,part\n0.png,x,y,train\n")
    found = listed(table, private_cache, path="where", label="coarse", split="part")
    assert (found.labels, found.splits) == (("y",), ("train",))
    with pytest.raises(SettingsError, match="did you mean 'coarse'"):
        listed(table, private_cache, path="where", label="coarce")
    with pytest.raises(SettingsError, match="name it with --path-column"):
        listed(table, private_cache)


def test_an_unknown_split_in_a_table_is_refused(tmp_path: Path, private_cache: Path) -> None:
    table = write_table(tmp_path / "d", "path,label,set\n0.png,a,holdout\n")
    with pytest.raises(DataError, match="'holdout'"):
        listed(table, private_cache)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path, private_cache: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe\x00,a\n")
    with pytest.raises(DataError, match="UTF-8"):
        listed(tmp_path / "t.csv", private_cache)


def test_columns_need_a_table(photos: Path, private_cache: Path) -> None:
    with pytest.raises(SettingsError, match="--label-column needs a table"):
        listed(photos, private_cache, label="x")
    with pytest.raises(SettingsError, match="--split-column needs a table"):
        listed("digits", private_cache, split="x")


@pytest.mark.slow
def test_a_table_of_a_million_rows_is_read(tmp_path: Path, private_cache: Path) -> None:
    lines = (f"{number % 4}.png,class {number % 7}" for number in range(1_000_000))
    table = write_table(tmp_path, "path,label\n" + "\n".join(lines))
    found = listed(table, private_cache)
    assert len(found.paths) == len(found.labels) == 1_000_000
    assert len(found.classes) == 7
    assert found.left_out == ()
