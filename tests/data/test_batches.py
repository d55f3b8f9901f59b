from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from automl_img.data.batches import AHEAD, Batches, evaluation_batches
from automl_img.data.images import Selection

ROOT = Path(__file__).parents[2]

IMAGES = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
LABELS = np.arange(50, dtype=np.int64)
ROWS = np.arange(10, 40, dtype=np.int64)


def labels_of(batches: Batches, epoch: int) -> list[list[int]]:
    return [batches.batch(epoch, number)[1].tolist() for number in range(len(batches))]


def test_an_epoch_gives_full_batches_of_different_rows_with_their_labels() -> None:
    batches = Batches(IMAGES, LABELS, ROWS, 8, seed=0)
    assert len(batches) == 3
    seen = []
    for number in range(3):
        images, labels = batches.batch(0, number)
        assert (images.shape, images.dtype) == ((8, 4, 4, 1), np.uint8)
        assert labels.dtype == np.int64
        assert np.array_equal(images[:, 0, 0, 0], labels)
        seen += labels.tolist()
    assert len(set(seen)) == 24
    assert set(seen) <= set(ROWS.tolist())


def test_each_epoch_has_its_order_fixed_by_the_seed() -> None:
    one, two = (Batches(IMAGES, LABELS, ROWS, 8, seed=0) for _ in range(2))
    assert labels_of(one, 5) == labels_of(two, 5)
    assert labels_of(one, 5) != labels_of(one, 6)
    assert labels_of(one, 5) == labels_of(two, 5)
    assert labels_of(one, 5) != labels_of(Batches(IMAGES, LABELS, ROWS, 8, seed=1), 5)


def test_over_the_epochs_every_row_is_trained_on() -> None:
    batches = Batches(IMAGES, LABELS, ROWS, 8, seed=0)
    seen = {label for epoch in range(20) for batch in labels_of(batches, epoch) for label in batch}
    assert seen == set(ROWS.tolist())


def test_fewer_rows_than_a_batch_make_one_batch_of_all() -> None:
    batches = Batches(IMAGES, LABELS, ROWS[:5], 8, seed=0)
    assert len(batches) == 1
    assert sorted(batches.batch(3, 0)[1].tolist()) == ROWS[:5].tolist()


RARE = np.repeat(np.arange(4), [30, 12, 6, 2])


def drawn(batches: Batches, epoch: int) -> np.ndarray:
    """Images of each class in an epoch."""
    return np.bincount(np.concatenate(labels_of(batches, epoch)), minlength=4)


@pytest.mark.parametrize(
    ("power", "expected"), [(0.0, [30, 12, 6, 2]), (0.5, [20, 12, 9, 5]), (1.0, [12, 12, 12, 12])]
)
def test_oversampling_draws_rare_classes_as_often_as_its_power_says(
    power: float, expected: list[int]
) -> None:
    batches = Batches(IMAGES, RARE, np.arange(50), 10, seed=0, oversampling=power)
    assert len(batches) == 5
    for epoch in range(5):
        counts = drawn(batches, epoch)
        assert counts.sum() == 50
        assert np.abs(counts - expected).max() <= 2
    assert drawn(batches, 0).tolist() == drawn(batches, 0).tolist()


def test_oversampling_shows_every_image_of_a_class_about_equally_often() -> None:
    batches = Batches(IMAGES, RARE, np.arange(50), 10, seed=0, oversampling=1.0)
    seen = np.zeros(50, np.int64)
    for epoch in range(40):
        for number in range(5):
            images, labels = batches.batch(epoch, number)
            rows = images[:, 0, 0, 0]
            assert np.array_equal(RARE[rows], labels)
            seen += np.bincount(rows, minlength=50)
    assert seen.min() > 0
    # Each class has a quarter of the draws: 12 or 13 an epoch, 500 in all.
    by_class = np.bincount(RARE, weights=seen)
    assert np.abs(by_class - 500).max() <= 40
    assert abs(int(seen[48]) - int(seen[49])) <= 40


def test_oversampling_knows_no_class_that_has_no_image_to_train_on() -> None:
    batches = Batches(IMAGES, RARE, np.flatnonzero(RARE % 2 == 0), 6, seed=0, oversampling=1.0)
    assert drawn(batches, 0)[[1, 3]].tolist() == [0, 0]


def test_class_weights_make_all_classes_count_the_same_and_an_image_one_in_the_mean() -> None:
    batches = Batches(IMAGES, RARE, np.arange(50), 10, seed=0, weighting=1.0)
    counts = np.bincount(RARE)
    assert batches.class_weights is not None
    assert np.ptp(batches.class_weights * counts) < 1e-5
    assert (batches.class_weights * counts).sum() == pytest.approx(50)
    assert Batches(IMAGES, RARE, np.arange(50), 10, seed=0).class_weights is None


def test_what_cannot_be_batched_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows"):
        Batches(IMAGES, LABELS, ROWS[:0], 8, seed=0)
    with pytest.raises(IndexError, match="3 batches"):
        Batches(IMAGES, LABELS, ROWS, 8, seed=0).batch(0, 3)


@pytest.mark.parametrize("batch_size", [1, 7, 8, 30, 100])
def test_evaluation_keeps_the_order_at_one_batch_size(batch_size: int) -> None:
    found, shapes = [], set()
    for images, real in evaluation_batches(IMAGES, ROWS, batch_size):
        shapes.add(images.shape)
        found += images[:real, 0, 0, 0].tolist()
        assert not images[real:].any()
    assert found == ROWS.tolist()
    assert shapes == {(min(batch_size, 30), 4, 4, 1)}


def test_no_rows_give_no_evaluation_batch() -> None:
    assert list(evaluation_batches(IMAGES, ROWS[:0], 8)) == []


class Announced:
    """Images that note what is announced before it is asked for."""

    dtype = IMAGES.dtype
    shape = IMAGES.shape

    def __init__(self) -> None:
        self.said: list[tuple[str, list[int]]] = []

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.said.append(("get", rows.tolist()))
        return IMAGES[rows]

    def ahead(self, rows: np.ndarray) -> None:
        self.said.append(("ahead", rows.tolist()))


def test_the_next_batches_are_announced_before_one_is_fetched() -> None:
    images = Announced()
    batches = Batches(images, LABELS, ROWS, 6, seed=0)
    rows = [batches.batch(2, number)[1].tolist() for number in range(5)]
    for number in range(5):
        images.said.clear()
        batches.batch(2, number)
        assert images.said == [
            *(("ahead", near) for near in rows[number : number + AHEAD + 1]),
            ("get", rows[number]),
        ]


def test_what_is_evaluated_is_announced_too_through_a_selection() -> None:
    images = Announced()
    selection = Selection(images, ROWS[::-1].copy())
    list(evaluation_batches(selection, np.arange(30), 8))
    got = [rows for what, rows in images.said if what == "get"]
    assert [row for rows in got for row in rows] == ROWS[::-1].tolist()
    for at, (what, rows) in enumerate(images.said):
        if what == "get":
            assert ("ahead", rows) in images.said[:at]
            later = got[got.index(rows) + 1 : got.index(rows) + 1 + AHEAD]
            assert all(("ahead", near) in images.said[:at] for near in later)


def test_features_of_any_type_and_shape_are_batched() -> None:
    features = np.linspace(0, 1, 50 * 7).astype(np.float16).reshape(50, 7)
    batch, labels = Batches(features, LABELS, ROWS, 8, seed=0).batch(0, 1)
    assert (batch.dtype, batch.shape) == (np.float16, (8, 7))
    assert np.array_equal(batch, features[labels])
    (*_, (last, real)) = evaluation_batches(features, ROWS, 8)
    assert (last.dtype, last.shape, real) == (np.float16, (8, 7), 6)
    assert np.array_equal(last[:6], features[ROWS[-6:]])
    assert not last[6:].any()


def test_a_selection_reads_its_rows_and_copies_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    some = Selection(mapped, np.array([7, 3, 40]))
    assert (len(some), some.shape, some.dtype) == (3, (3, 4, 4, 1), np.uint8)
    assert some[1].max() == 3
    assert some[1:][:, 0, 0, 0].tolist() == [3, 40]
    assert some[np.array([True, False, True])][:, 0, 0, 0].tolist() == [7, 40]
    with pytest.raises(IndexError):
        some[3]
    with pytest.raises(TypeError, match="index the rows"):
        np.asarray(some)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc")
def test_batches_of_a_file_larger_than_memory_read_only_their_rows(tmp_path: Path) -> None:
    # 64 GB that lie nowhere: reading them would need the memory, or minutes.
    code = """
import sys
import numpy as np
from automl_img.data.batches import Batches, evaluation_batches
from automl_img.data.images import Selection
rows, shape = 1_300_000, (128, 128, 3)
header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *shape)}
with open(sys.argv[1], "wb") as stream:
    np.lib.format.write_array_header_1_0(stream, header)
    stream.truncate(stream.tell() + rows * 128 * 128 * 3)
def resident():
    pages = open("/proc/self/statm").read().split()[1]
    return int(pages) * 4096 / 1e6
images = np.load(sys.argv[1], mmap_mode="r")
before = resident()
batches = Batches(images, np.zeros(rows, np.int64), np.arange(rows), 64, seed=0)
for number in range(10):
    assert batches.batch(0, number)[0].shape == (64, *shape)
some = Selection(images, np.arange(0, rows, 2))
for _, (batch, _) in zip(range(10), evaluation_batches(some, np.arange(len(some)), 64)):
    pass
print(round(resident() - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "sparse.npy"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    # 20 batches are 63 MB; the system maps some neighbours of each image.
    assert int(done.stdout) < 500
