"""Every odd kind of image, table and archive has the outcome that is documented."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from automl_img.data.decode import decode, inspect
from automl_img.data.index import DataIndex, read_index
from automl_img.errors import AutomlImgError, DataError
from tests.data.listings import class_labels, listed, rows_of, saved
from tests.data.odd import ARCHIVES, IMAGES, NOT_SEEN, PLAIN, TABLES, USED, Odd, encoded
from tests.pictures import class_folders

# Inputs of each test; ``make fuzz N=20`` tries twenty times as many.
TIMES = int(os.environ.get("AUTOML_IMG_FUZZ", "1"))
DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "odd-data.md"


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Whatever waits for ever is an error here."""

    def fail(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60 * TIMES)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def read(data: Path, cache: Path, **columns: Any) -> DataIndex:
    return read_index(listed(data, cache, **columns))


def read_or_refused(data: Path, cache: Path, **columns: Any) -> DataIndex | str:
    """What was read, or the sentence with which it was refused."""
    try:
        return read(data, cache, **columns)
    except AutomlImgError as error:
        return str(error)


def reasons(index: DataIndex) -> list[str]:
    return [each.reason for each in index.left_out if each.what == "image"]


@pytest.mark.parametrize("kind", IMAGES)
def test_an_odd_image_is_used_left_out_with_its_reason_or_not_seen(
    kind: str, tmp_path: Path, private_cache: Path
) -> None:
    odd, photos = IMAGES[kind], class_folders(tmp_path / "photos", per_class=2)
    path = odd.write(photos / "blue")
    if kind == "folder without permission" and os.access(path, os.R_OK):
        pytest.skip("this user may list every folder")
    index = read(photos, private_cache)
    added = len(index) - 6
    found = reasons(index)
    if odd.outcome == USED:
        assert (added, found) == (1, [])
        [row] = [row for row, each in enumerate(index.paths) if os.path.samefile(each, path)]
        assert index.class_names[index.labels[row]] == "blue"
        pixels = decode(index.paths[row], 8, 3)
        assert pixels.shape == (8, 8, 3)
    elif odd.outcome == NOT_SEEN:
        assert (added, found) == (0, [])
    else:
        if added:
            # Its header is sound; what is wrong is found as it is decoded.
            [row] = [row for row, each in enumerate(index.paths) if os.path.samefile(each, path)]
            with pytest.raises(DataError) as raised:
                decode(index.paths[row], 8, 3)
            found = [str(raised.value)]
        assert re.search(odd.outcome, " ".join(found)), found
        assert len(found) == 1


@pytest.mark.parametrize("kind", TABLES)
def test_an_odd_table_is_read_or_refused_in_a_sentence(
    kind: str, tmp_path: Path, private_cache: Path
) -> None:
    odd = TABLES[kind]
    index = read_or_refused(odd.write(tmp_path), private_cache)
    if isinstance(index, str):
        assert re.search(odd.outcome, index), index
        assert "\n" not in index
    elif odd.outcome == USED:
        assert len(index) == (4 if kind == "the same row twice" else 3)
        assert reasons(index) == []
    else:
        assert len(index) == 2
        [reason] = reasons(index)
        assert re.search(odd.outcome, reason)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_odd_archive_is_read_or_refused_and_writes_nothing_outside(
    kind: str, tmp_path: Path, private_cache: Path
) -> None:
    odd: Odd = ARCHIVES[kind]
    folder = tmp_path / "given"
    folder.mkdir()
    path = odd.write(folder)
    index = read_or_refused(path, private_cache)
    if isinstance(index, str):
        assert re.search(odd.outcome, index), index
    else:
        expected = 3 if odd.outcome == USED else 2
        assert len(index) == expected
        found = reasons(index)
        assert re.search(odd.outcome, found[0]) if found else odd.outcome in (USED, NOT_SEEN)
    outside = [each for each in private_cache.rglob("*") if each.is_symlink()]
    assert not outside
    assert not [*tmp_path.rglob("outside.png")]
    assert not [*private_cache.parent.glob("outside.png")]
    assert [each.name for each in folder.iterdir()] == [path.name]


def test_each_kind_is_documented_and_there_are_forty_at_least() -> None:
    rows = re.findall(r"^\| (.+?) \|", DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE)
    kinds = {*IMAGES, *TABLES, *ARCHIVES}
    assert len(kinds) >= 40
    exif = {kind for kind in kinds if kind.startswith("exif orientation")}
    assert kinds - exif <= set(rows)
    assert "exif orientation 1 to 8" in rows


FORMS = {form: encoded(form) for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")}


@settings(max_examples=300 * TIMES)
@given(
    form=st.sampled_from(sorted(FORMS)),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    length=st.floats(0.1, 1.2),
)
def test_no_image_with_other_bytes_gives_more_than_a_reason(
    form: str, changes: list[tuple[int, int]], length: float
) -> None:
    data = bytearray(FORMS[form])
    for place, value in changes:
        data[place % len(data)] = value
    mutated = bytes(data[: int(length * len(data))]) + b"\0" * max(0, int((length - 1) * len(data)))
    try:
        pixels, reason = decode(mutated, 8, 3), None
    except DataError as error:
        pixels, reason = np.zeros((8, 8, 3), np.uint8), str(error)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert reason is None or 0 < len(reason) <= 120


@settings(max_examples=150 * TIMES)
@given(
    text=st.text(max_size=200),
    rows=st.integers(0, 3),
    columns=st.sampled_from(
        [{}, {"separator": "|"}, {"labels": ("*",)}, {"labels": ("label",)}, {"coarse": "label"}]
    ),
)
def test_no_table_gives_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str, rows: int, columns: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("table")
    lines = PLAIN.splitlines(keepends=True)[:rows]
    (folder / "labels.csv").write_text("".join(lines) + text, encoding="utf-8", newline="")
    found = read_or_refused(folder / "labels.csv", folder / "cache", **columns)
    assert isinstance(found, DataIndex) or len(found.splitlines()) == 1


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@settings(max_examples=150 * TIMES)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["path", "label", "split", "x"]), _VALUES), max_size=5
    ),
    rest=st.text(max_size=40),
)
def test_no_json_lines_give_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], rest: str
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    first = {"path": "0.png", "label": "a"}
    (folder / "0.png").write_bytes(FORMS["PNG"])
    text = "\n".join(map(json.dumps, [first, *rows])) + f"\n{rest}"
    (folder / "labels.jsonl").write_text(text, encoding="utf-8", newline="")
    found = read_or_refused(folder / "labels.jsonl", folder / "cache")
    assert isinstance(found, DataIndex) or len(found.splitlines()) == 1


@settings(max_examples=150 * TIMES)
@given(
    kind=st.sampled_from(["parquet", "hugging_face"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.floats(0.1, 1.0),
)
def test_no_columns_with_other_bytes_give_more_than_a_sentence(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    changes: list[tuple[int, int]],
    length: float,
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    photos = class_folders(folder / "photos", per_class=2, size=8)
    path = data = folder / "images.parquet"
    if kind == "parquet":
        parquet.write_table(class_labels(rows_of(photos, content=True)), path)
    else:
        data = saved(photos, folder / "saved")
        [path] = data.glob("*.arrow")
    mutated = bytearray(path.read_bytes())
    for place, value in changes:
        mutated[place % len(mutated)] = value
    path.write_bytes(mutated[: int(length * len(mutated))])
    found = read_or_refused(data, folder / "cache")
    assert isinstance(found, DataIndex) or len(found.splitlines()) == 1


@settings(max_examples=150 * TIMES)
@given(
    kind=st.sampled_from(["zip with windows separators", "tar with ..", "zip with .."]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_no_archive_with_other_bytes_gives_more_than_a_sentence_or_writes_outside(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    path = ARCHIVES[kind].write(folder)
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(data)
    assert read_or_refused(path, folder / "cache")
    assert {each.name for each in folder.iterdir()} <= {path.name, "cache"}


def test_a_header_is_read_of_whatever_can_be_decoded(tmp_path: Path) -> None:
    for form, data in FORMS.items():
        path = tmp_path / f"x.{form.lower()}"
        path.write_bytes(data)
        assert (inspect(path).width, inspect(path).height) == (24, 24)
