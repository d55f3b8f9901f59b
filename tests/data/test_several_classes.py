"""Images that may have several classes, one or none."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyarrow import parquet

from automl_img.data.audit import audit
from automl_img.data.classes import likely_separator
from automl_img.data.index import DataIndex, read_index
from automl_img.data.listing import Listing
from automl_img.data.prepare import cut_up, prepare
from automl_img.data.split import cut
from automl_img.errors import DataError, SettingsError
from automl_img.events import Event, Notice
from automl_img.settings import check
from tests.data.listings import listed, write_table, zipped

SETS = (("a", "b"), ("b",), (), ("a", "c"))


def read(listing: Listing) -> list[tuple[str, ...]]:
    """The classes of each image."""
    index = read_index(listing)
    return [
        tuple(index.class_names[label] for label in np.flatnonzero(row)) for row in index.labels
    ]


def test_a_separator_stands_between_the_classes(tmp_path: Path, private_cache: Path) -> None:
    text = "path,label\n0.png,b | a\n1.png,b\n2.png,\n3.png,c|a||a\n"
    table = write_table(tmp_path, text)
    found = listed(table, private_cache, separator="|")
    assert read(found) == list(SETS)
    assert found.left_out == (), "an image may have none of the classes"
    # Without one they are the names of classes, and an empty one is none.
    assert listed(table, private_cache).labels == ("b | a", "b", "c|a||a")


def test_columns_of_yes_and_no_are_named_or_matched(tmp_path: Path, private_cache: Path) -> None:
    text = "path,has a,has b,has c,note\n0.png,1,1,0,x\n1.png,no,Yes,false,x\n"
    table = write_table(tmp_path, text + "2.png,0,,0.0,x\n3.png,true,0,1.0,x\n")
    found = listed(table, private_cache, labels=("has *",))
    assert read(found) == [tuple(f"has {name}" for name in each) for each in SETS]
    found = listed(table, private_cache, labels=("has b", "has a"))
    assert read(found)[0] == ("has a", "has b")
    assert read(found)[3] == ("has a",)
    with pytest.raises(SettingsError, match=r"no column 'has d'.*did you mean 'has"):
        listed(table, private_cache, labels=("has d",))
    with pytest.raises(DataError, match=r"column 'note' of labels\.csv must say 1 or 0"):
        listed(table, private_cache, labels=("note",))


def test_lists_are_several_classes_without_being_told(tmp_path: Path, private_cache: Path) -> None:
    write_table(tmp_path, "")
    rows = [{"path": f"{at}.png", "label": list(each)} for at, each in enumerate(SETS)]
    lines = tmp_path / "t.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    assert read(listed(lines, private_cache)) == list(SETS)
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert read(listed(tmp_path / "t.parquet", private_cache)) == list(SETS)


def test_lists_of_numbers_have_the_names_that_hugging_face_keeps(
    tmp_path: Path, private_cache: Path
) -> None:
    write_table(tmp_path, "")
    rows = [
        {"path": f"{at}.png", "label": ["abc".index(name) for name in each]}
        for at, each in enumerate(SETS)
    ]
    kind = {"names": ["a", "b", "c"], "_type": "ClassLabel"}
    for feature in ([kind], {"feature": kind, "_type": "Sequence"}):
        told = json.dumps({"info": {"features": {"label": feature}}})
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": told})
        parquet.write_table(table, tmp_path / "t.parquet")
        assert read(listed(tmp_path / "t.parquet", private_cache)) == list(SETS)


def test_columns_of_a_parquet_file_say_yes_and_no(tmp_path: Path, private_cache: Path) -> None:
    write_table(tmp_path, "")
    rows = [
        {"path": f"{at}.png", **{name: name in each for name in "abc"}}
        for at, each in enumerate(SETS)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    found = listed(tmp_path / "t.parquet", private_cache, labels=("a", "b", "c"))
    assert read(found) == list(SETS)


def test_columns_and_a_separator_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="label-separator: cannot stand beside"):
        check({"label_columns": "a", "label_separator": "|"})
    with pytest.raises(SettingsError, match="label-columns: cannot stand beside --label-column"):
        check({"label_column": "a", "label_columns": "b"})


def test_vectors_of_0_and_1_are_no_lists_of_classes(tmp_path: Path, private_cache: Path) -> None:
    write_table(tmp_path, "")
    lines, vectors = tmp_path / "t.jsonl", [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    rows = [{"path": f"{at}.png", "label": vector} for at, vector in enumerate(vectors)]
    lines.write_text("\n".join(map(json.dumps, rows)))
    fixed = pa.list_(pa.int64(), 3)
    columns = {"path": [row["path"] for row in rows], "label": pa.array(vectors, fixed)}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    for table in (lines, tmp_path / "t.parquet"):
        with pytest.raises(DataError, match=r"have '0', '1' alone, as vectors do.*--label-columns"):
            listed(table, private_cache)


def test_lists_and_texts_do_not_go_together(tmp_path: Path, private_cache: Path) -> None:
    write_table(tmp_path, "")
    table = tmp_path / "t.jsonl"
    texts = [{"path": "0.png", "label": "a"}] * 1000
    rows = [*texts, {"path": "1.png", "label": ["a", "b"]}]
    table.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"lists in all rows or in none, but that of '1\.png'"):
        listed(table, private_cache)
    with pytest.raises(DataError, match="lists in none beside a separator"):
        listed(table, private_cache, separator="|")


def test_lists_in_lists_are_left_out_however_deep(tmp_path: Path, private_cache: Path) -> None:
    write_table(tmp_path, "")
    table = tmp_path / "t.jsonl"
    deep = "[" * 400 + "]" * 400
    table.write_text(f'{{"path": "0.png", "label": ["a", {deep}]}}\n')
    assert listed(table, private_cache).labels == ("a",)


def test_a_column_without_a_yes_is_a_class_that_is_lost(
    tmp_path: Path, private_cache: Path
) -> None:
    table = write_table(tmp_path, "path,a,b\n0.png,1,0\n1.png,0,0\n")
    index = read_index(listed(table, private_cache, labels=("a", "b")))
    assert index.class_names == ("a",)
    assert [(item.name, item.what) for item in index.left_out] == [("b", "class")]


def test_a_column_that_few_objects_have_is_found(tmp_path: Path, private_cache: Path) -> None:
    write_table(tmp_path, "")
    rows = [{"path": "0.png", "is a": 1}] * 1500 + [{"path": "1.png", "is b": True}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = listed(tmp_path / "t.jsonl", private_cache, labels=("is *",))
    assert read(found)[-1] == ("is b",)


def test_other_tables_in_an_archive_are_not_taken_for_that_of_the_images(
    tmp_path: Path, private_cache: Path
) -> None:
    write_table(tmp_path / "d", "path,has a,has b\n0.png,1,0\n1.png,0,1\n")
    (tmp_path / "d" / "sizes.csv").write_text("path,width\n0.png,8\n")
    found = listed(zipped(tmp_path / "d", tmp_path / "d.zip"), private_cache, labels=("has *",))
    assert read(found) == [("has a",), ("has b",)]


def test_many_rare_classes_are_no_values_where_most_images_have_others_too() -> None:
    labels = np.zeros((100, 82), np.uint8)
    labels[:50, 0] = labels[50:, 1] = 1
    labels[np.arange(80) // 4, 2 + np.arange(80)] = 1
    assert len(cut(index_of(labels), seed=0).train) >= 70
    labels[:, :2] = 0
    labels[np.arange(80), 2 + np.arange(80)] = 1
    labels[20:, 2 : 2 + 80] = np.eye(80, dtype=np.uint8)
    labels[:20] = 0
    with pytest.raises(DataError, match="80 of 100 images have a label of their own"):
        cut(index_of(labels), seed=0)


def test_labels_that_are_all_empty_name_no_class(tmp_path: Path, private_cache: Path) -> None:
    table = write_table(tmp_path, "path,label\n0.png,\n1.png,\n")
    with pytest.raises(DataError, match="must name classes, but all are empty"):
        read_index(listed(table, private_cache, separator="|"))


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("milk|carton milk carton juice|carton juice|bottle milk|bottle", ("|", 4 / 6)),
        ("a;b a;c b;c a;b;c", (";", 1)),
        ("a,b a,c b,c a,b,c a", (",", 0.8)),
        ("cat dog cat,dog cat,dog", (",", 0.5)),
        # Names that have one.
        ("crane,bird crane,machine dog cat horse", None),
        ("Tench,_Tinca_tinca Goldfish,_Carassius_auratus Shark,_white Shark,_tiger", None),
        ("Apple,_red Apple,_green Pear,_red Pear,_green Plum", None),
        ("fruit|apple fruit|pear vegetable|leek vegetable|beet", None),
        # Hardly any.
        ("a b c a,b " + "a b c " * 5, None),
        ("a b c", None),
        ("", None),
        ("a|", None),
    ],
)
def test_labels_that_seem_to_hold_several_classes_are_told_from_names(
    labels: str, found: tuple[str, float] | None
) -> None:
    assert likely_separator(labels.split()) == (found and (found[0], pytest.approx(found[1])))


def test_a_separator_that_was_not_named_is_told_in_a_check_and_as_a_search_begins(
    tmp_path: Path,
) -> None:
    labels = ["a|b", "b|c", "a", "b", "c"]
    rows = [f"{n}.png,{labels[n % 5]}" for n in range(40)]
    table = write_table(tmp_path, "path,label\n" + "\n".join(rows), images=40)
    said = "40 % of the labels contain '|'; if an image has several classes, say --label-separator"
    [finding] = [
        each for each in audit(check({}, table)).findings if each.sentence.startswith(said)
    ]
    assert (finding.kind, finding.severity) == ("divided labels", "warning")
    kinds: list[tuple[dict[str, Any], int]] = [({}, 1), ({"keep_copies": True}, 1)]
    for settings, told in [*kinds, ({"label_separator": "|"}, 0)]:
        events: list[Event] = []
        with contextlib.suppress(DataError):
            cut_up(check(settings, table), tmp_path / "cache", events.append)
        notices = [event.text for event in events if isinstance(event, Notice)]
        assert [text.startswith(said) for text in notices] == [True] * told


def test_a_separator_that_never_occurs_is_told(tmp_path: Path) -> None:
    lines = [f"{at}.png,{'a b' if at % 2 else 'c'}" for at in range(30)]
    table = write_table(tmp_path, "path,label\n" + "\n".join(lines), images=30)
    found = prepare(check({"label_separator": "|", "keep_copies": True}, table))
    assert any("does the separator stand in the labels" in notice for notice in found.notices)
    found = prepare(check({"label_separator": " ", "keep_copies": True}, table))
    assert not any("separator" in notice for notice in found.notices)


def test_an_audit_names_classes_that_no_training_image_has(tmp_path: Path) -> None:
    lines = [f"{at}.png,{'ab'[at % 2]},{'train' if at < 20 else 'val'}" for at in range(24)]
    lines += ["24.png,rare,test", "25.png,a,test"]
    table = write_table(tmp_path, "path,label,split\n" + "\n".join(lines), images=26)
    found = {each.kind: each.sentence for each in audit(check({}, table)).findings}
    assert (
        "1 class has no training image ('rare'); a search leaves it out"
        in (found["untrained classes"])
    )


def test_one_class_alone_may_be_a_label_column(tmp_path: Path, private_cache: Path) -> None:
    table = write_table(tmp_path, "path,mould\n0.png,1\n1.png,0\n2.png,1\n3.png,0")
    with pytest.raises(DataError, match="whether images have it may be a --label-column"):
        cut(read_index(listed(table, private_cache, labels=("mould",))), seed=0)


def index_of(labels: np.ndarray, groups: np.ndarray | None = None) -> DataIndex:
    """Different images with these labels, uint8 (images, classes)."""
    images = len(labels)
    digests = np.arange(2 * images, dtype=np.uint64).view(np.uint8).reshape(images, 16)
    return DataIndex(
        paths=tuple(map(str, range(images))),
        names=tuple(map(str, range(images))),
        labels=labels,
        class_names=tuple(f"class {label}" for label in range(labels.shape[1])),
        splits=None,
        widths=np.full(images, 8, np.int32),
        heights=np.full(images, 8, np.int32),
        grey=np.zeros(images, np.bool_),
        digests=digests,
        groups=groups,
    )


def test_each_part_has_its_share_of_each_class_the_rarest_too() -> None:
    rng = np.random.default_rng(0)
    # Classes come together, as kinds and kinds of kinds do.
    labels = (rng.random((2000, 6)) < [0.6, 0.3, 0.1, 0.03, 0.01, 0.004]).astype(np.uint8)
    labels[:, 0] |= labels[:, 2]
    split = cut(index_of(labels), seed=0)
    for rows in (split.validation, split.test):
        wanted = labels.sum(axis=0) / 10
        assert np.abs(labels[rows].sum(axis=0) - wanted) == pytest.approx(0, abs=1.6)
        none = (labels.sum(axis=1) == 0).sum() / 10
        assert (labels[rows].sum(axis=1) == 0).sum() == pytest.approx(none, abs=1.6)
    again = cut(index_of(labels), seed=0)
    assert np.array_equal(split.test, again.test)
    assert not np.array_equal(split.test, cut(index_of(labels), seed=1).test)


@given(arrays(np.uint8, st.tuples(st.integers(30, 60), st.integers(2, 5)), elements=st.just(1)))
def test_images_alike_can_be_cut(labels: np.ndarray) -> None:
    split = cut(index_of(labels), seed=0)
    rows = np.concatenate(list(split.parts().values()))
    assert sorted(rows.tolist()) == list(range(len(labels)))
    assert all(len(part) for part in split.parts().values())


def test_a_class_of_three_images_has_one_in_each_part() -> None:
    labels = np.zeros((100, 2), np.uint8)
    labels[:60, 0], labels[[5, 50, 95], 1] = 1, 1
    split = cut(index_of(labels), seed=3)
    assert [int(labels[rows, 1].sum()) for rows in split.parts().values()] == [1, 1, 1]


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 4)) < 0.3).astype(np.uint8)
    groups = np.repeat(np.arange(60), 5)
    split = cut(index_of(labels, groups), seed=0)
    parts = [set(groups[rows].tolist()) for rows in split.parts().values()]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert min(len(part) for part in parts) >= 4


def test_a_limit_fills_every_class_and_stops_there() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((500, 3)) < [0.5, 0.2, 0.01]).astype(np.uint8)
    kept = index_of(labels).limit_per_class(10, seed=0)
    counts = kept.class_counts
    assert counts[2] == labels[:, 2].sum()
    assert min(counts[:2]) >= 10
    assert len(kept) <= 45


def test_a_class_without_training_images_goes_and_its_images_stay(tmp_path: Path) -> None:
    lines = [f"{at}.png,a|b,train" for at in range(4)] + ["4.png,a,train", "5.png,a|rare,test"]
    text = "path,label,split\n" + "\n".join([*lines, "6.png,b,val", "7.png,,val"])
    table = write_table(tmp_path, text, images=8)
    found = prepare(check({"label_separator": "|", "keep_copies": True}, table))
    assert found.multi_label
    assert found.class_names == ("a", "b")
    [left] = found.left_out
    assert (left.name, left.reason) == ("rare", "no training image has this class")
    assert found.test.count == 1
    assert found.class_counts == {"train": (5, 4), "validation": (0, 1), "test": (1, 0)}
    rows = found.rows_arrays()
    assert rows["labels"].dtype == np.uint8
    assert rows["labels"][rows["validation"]].tolist() == [[0, 1], [0, 0]]


def test_copies_with_other_classes_are_told(tmp_path: Path) -> None:
    lines = [f"{at}.png,{'a|b' if at % 2 else 'b'}" for at in range(12)]
    table = write_table(tmp_path, "path,label\n" + "\n".join(lines), images=12)
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    found = audit(check({"label_separator": "|"}, table))
    [conflict] = [each for each in found.findings if each.kind == "conflicting labels"]
    assert "1 group of copies has different labels" in conflict.sentence
    assert "imbalance" not in {each.kind for each in found.findings}
