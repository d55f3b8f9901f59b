from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from automl_img.data.index import DataIndex
from automl_img.data.listing import SPLITS
from automl_img.data.split import Split, cut, grouped
from automl_img.errors import DataError


def an_index(
    labels: list[int], contents: list[int] | None = None, splits: list[int] | None = None
) -> DataIndex:
    """An index of images that are told apart by a number, without files."""
    count = len(labels)
    numbers = np.arange(count) if contents is None else np.array(contents)
    digests = np.zeros((count, 16), dtype=np.uint8)
    digests[:, :8] = numbers.astype(np.uint64)[:, None].view(np.uint8)
    return DataIndex(
        paths=tuple(f"/{row}" for row in range(count)),
        names=tuple(str(row) for row in range(count)),
        labels=np.array(labels, dtype=np.int64),
        class_names=tuple(str(label) for label in range(max(labels) + 1)),
        splits=None if splits is None else np.array(splits, dtype=np.int8),
        widths=np.full(count, 8, np.int32),
        heights=np.full(count, 8, np.int32),
        grey=np.zeros(count, np.bool_),
        digests=digests,
    )


@st.composite
def indexes(draw: st.DrawFn) -> DataIndex:
    counts = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    assume(max(counts) >= 3)
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    shuffled = draw(st.permutations(labels))
    kinds = draw(st.sampled_from([None, (0,), (0, 1), (0, 2), (0, 1, 2)]))
    if kinds is None:
        return an_index(shuffled)
    length = len(shuffled)
    splits = draw(st.lists(st.sampled_from(kinds), min_size=length, max_size=length))
    return an_index(shuffled, splits=splits)


def cut_or_skip(index: DataIndex, seed: int) -> Split:
    try:
        return cut(index, seed)
    except DataError:
        assume(False)
        raise


@settings(max_examples=60, deadline=None)
@given(index=indexes(), seed=st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_and_cover_all_and_keep_what_came(index: DataIndex, seed: int) -> None:
    split = cut_or_skip(index, seed)
    together = np.concatenate(list(split.parts().values()))
    assert np.array_equal(np.sort(together), np.arange(len(index)))
    for part, rows in split.parts().items():
        assert np.array_equal(rows, np.sort(rows))
        if index.splits is not None:
            came = np.flatnonzero(index.splits == SPLITS.index(part))
            if part != "train" and len(came):
                assert np.array_equal(rows, came)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=2, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_a_cut_is_stratified_at_80_10_10(counts: list[int], seed: int) -> None:
    index = an_index([label for label, count in enumerate(counts) for _ in range(count)])
    split = cut_or_skip(index, seed)
    for label, count in enumerate(counts):
        part = {name: int((index.labels[r] == label).sum()) for name, r in split.parts().items()}
        if count < 3:
            assert part == {"train": count, "validation": 0, "test": 0}
        else:
            assert part["validation"] == part["test"] >= 1
            assert part["train"] >= 1
            assert part["test"] == pytest.approx(max(1, count / 10), abs=0.5)


@pytest.mark.parametrize("given_too", [1, 2])
def test_what_is_missing_is_a_ninth_of_train(given_too: int) -> None:
    splits = ([0] * 90 + [given_too] * 10) * 2
    split = cut(an_index([0] * 100 + [1] * 100, splits=splits), 0)
    assert {name: len(rows) for name, rows in split.parts().items()} == {
        "train": 160,
        "validation": 20,
        "test": 20,
    }


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_cuts_the_same(seed: int) -> None:
    index = an_index([0] * 30 + [1] * 30)
    one, two = cut(index, seed), cut(index, seed)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(one.parts().values(), two.parts().values(), strict=True)
    )


def test_zero_is_a_seed_and_seeds_differ() -> None:
    index = an_index([0] * 100 + [1] * 100)
    tests = [cut(index, seed).test.tolist() for seed in (0, 0, 1, 2)]
    assert tests[0] == tests[1]
    assert len({tuple(test) for test in tests}) == 3


def test_a_renamed_file_does_not_change_the_cut() -> None:
    contents = list(range(60))
    index = an_index([0] * 60 + [1] * 60, contents * 2)
    other = an_index([0] * 60 + [1] * 60, contents[::-1] * 2)
    drawn = index.digests[cut(index, 3).test].tolist()
    assert sorted(drawn) == sorted(other.digests[cut(other, 3).test].tolist())


@settings(max_examples=60, deadline=None)
@given(contents=st.lists(st.integers(0, 12), min_size=30, max_size=60), seed=st.integers(0, 1000))
def test_identical_files_of_a_class_land_in_one_part(contents: list[int], seed: int) -> None:
    index = an_index([row % 2 for row in range(len(contents))], contents)
    split = cut_or_skip(index, seed)
    part_of = {int(row): name for name, rows in split.parts().items() for row in rows}
    parts: dict[tuple[int, int], set[str]] = {}
    for row, content in enumerate(contents):
        parts.setdefault((row % 2, content), set()).add(part_of[row])
    assert all(len(found) == 1 for found in parts.values())


def test_identical_means_same_content_and_same_class() -> None:
    index = an_index([0, 0, 1, 0, 1], [7, 8, 7, 7, 7])
    numbers = grouped(index, np.arange(5))
    assert numbers[0] == numbers[3]
    assert numbers[2] == numbers[4]
    assert len(set(numbers.tolist())) == 3


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(st.integers(0, 25), min_size=40, max_size=80), seed=st.integers(0, 1000))
def test_copies_land_in_one_part_whatever_their_class(groups: list[int], seed: int) -> None:
    index = replace(
        an_index([row % 2 for row in range(len(groups))]), groups=np.array(groups, dtype=np.int64)
    )
    split = cut_or_skip(index, seed)
    for group in set(groups):
        rows = {row for row, own in enumerate(groups) if own == group}
        assert sum(bool(rows & set(part.tolist())) for part in split.parts().values()) == 1


@given(seed=st.integers(0, 1000), people=st.integers(20, 60))
@settings(max_examples=30, deadline=None)
def test_groups_of_several_classes_stay_whole_and_the_parts_balanced(
    seed: int, people: int
) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(people), rng.integers(1, 12, people))
    labels = rng.choice(3, len(groups), p=(0.6, 0.3, 0.1))
    index = replace(an_index([*labels.tolist(), 0, 1, 2]), groups=np.append(groups, [-1, -2, -3]))
    index = replace(index, groups=index.groups - index.groups.min())
    split = cut_or_skip(index, seed)
    whose = {name: set(index.groups[rows].tolist()) for name, rows in split.parts().items()}
    assert not whose["train"] & whose["validation"]
    assert not whose["train"] & whose["test"]
    assert not whose["validation"] & whose["test"]
    largest = np.bincount(groups).max()
    for rows, share in zip(split.parts().values(), (0.8, 0.1, 0.1), strict=True):
        assert abs(len(rows) - share * len(index)) <= 2 * largest


def test_where_there_are_no_copies_a_cut_is_the_same_with_groups_and_without() -> None:
    index = an_index([row % 3 for row in range(90)])
    alone = replace(index, groups=np.arange(90)[::-1].copy())
    for seed in range(3):
        for one, other in zip(
            cut(index, seed).parts().values(), cut(alone, seed).parts().values(), strict=True
        ):
            assert one.tolist() == other.tolist()


def test_one_class_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="at least two classes, but there is only one class: '0'"):
        cut(an_index([0] * 20), 0)


def test_too_few_images_are_refused_with_the_number_needed() -> None:
    with pytest.raises(DataError, match=r"too few images to split.*at least 3"):
        cut(an_index([0, 0, 1, 1]), 0)


def test_copies_of_one_image_are_too_few() -> None:
    with pytest.raises(DataError, match="too few images to split"):
        cut(an_index([0] * 10 + [1] * 10, [1] * 20), 0)


def test_values_and_names_are_no_classes() -> None:
    values = an_index(list(range(30)))
    with pytest.raises(DataError, match=r"30 of 30 images .* numbers, as '0'; .*regression"):
        cut(values, 0)
    names = replace(values, class_names=tuple(f"photo {row}" for row in range(30)))
    with pytest.raises(DataError, match="as 'photo 0'; name the column of classes"):
        cut(names, 0)
    # Many classes of which most are small are classes, as faces are.
    labels = [label for label in range(30) for _ in range(1 if label < 20 else 9)]
    assert len(cut(an_index(labels), 0).train) > 60


def test_data_without_training_images_is_refused() -> None:
    with pytest.raises(DataError, match="must have training images"):
        cut(an_index([0, 1, 0, 1], splits=[1, 1, 2, 2]), 0)


def test_rows_are_renumbered_when_some_go() -> None:
    split = Split(np.array([0, 3]), np.array([1]), np.array([2, 4]))
    kept = split.keep(np.array([False, True, True, True, True]))
    assert [rows.tolist() for rows in kept.parts().values()] == [[2], [0], [1, 3]]
