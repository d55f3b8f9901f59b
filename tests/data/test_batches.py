from __future__ import annotations

import numpy as np
import pytest

from automl_img.data.batches import Batches, evaluation_batches

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
