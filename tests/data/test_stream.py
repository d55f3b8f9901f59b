"""Images that do not fit on the disk: decoded on demand, and otherwise as those of the cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from automl_img.data import cache as caches
from automl_img.data import processes, stream
from automl_img.data.batches import Batches, evaluation_batches
from automl_img.data.index import DataIndex, read_index
from automl_img.data.listing import Columns, listing_of
from automl_img.data.pixels import PixelCache, build_pixels
from automl_img.data.prepare import Prepared, prepare
from automl_img.data.stream import StreamedImages
from automl_img.errors import DataError
from automl_img.events import Event, Listener, Notice, Phase, Progress, ignore
from automl_img.settings import SearchSettings
from tests.pictures import class_folders

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def processes_of_this_test() -> Iterator[None]:
    yield
    if processes._shared is not None:
        processes._shared[1].close()
    processes._shared = None


def fill_the_disk(monkeypatch: pytest.MonkeyPatch, free: int = 1000) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(caches.shutil, "disk_usage", lambda path: usage(10**6, 0, free))


def prepared(data: Path, listener: Listener = ignore, **more: object) -> Prepared:
    return prepare(SearchSettings.model_validate({"data": str(data), **more}), listener)


@pytest.fixture
def index(photos: Path, private_cache: Path) -> DataIndex:
    return read_index(listing_of(str(photos), Columns(), private_cache))


@pytest.fixture
def streamed(index: DataIndex) -> StreamedImages:
    return StreamedImages(index.paths, index.digests, 16, 3)


@pytest.fixture
def cached(index: DataIndex, private_cache: Path) -> np.ndarray:
    images = build_pixels(index.paths, index.digests, 16, 3, private_cache).images
    assert isinstance(images, np.memmap)
    return images


def test_every_way_to_ask_for_rows_gives_what_the_cache_gives(
    streamed: StreamedImages, cached: np.ndarray
) -> None:
    assert (streamed.shape, streamed.dtype, len(streamed)) == (cached.shape, cached.dtype, 60)
    mask = np.arange(60) % 7 == 0
    none = np.zeros(0, np.int64)
    for rows in (5, -1, np.int64(3), slice(3, 40, 5), [2, 2, 1], np.array([59, 0]), mask, none):
        assert np.array_equal(streamed[rows], cached[rows]), rows
    for outside in (60, -61, [0, 60]):
        with pytest.raises(IndexError):
            streamed[outside]
    with pytest.raises(TypeError, match="index the rows"):
        np.asarray(streamed)
    assert sum(1 for _ in streamed) == 60


def test_announced_rows_are_decoded_once_and_forgotten_when_there_are_many(
    streamed: StreamedImages, cached: np.ndarray
) -> None:
    asked = [np.arange(start, start + 4) for start in range(0, 40, 4)]
    for rows in asked:
        streamed.ahead(rows)
        streamed.ahead(rows)
    assert len(streamed._begun) <= 4
    for rows in asked:
        assert np.array_equal(streamed[rows], cached[rows])
    assert not streamed._begun


def test_what_does_not_fit_is_said_first_then_checked_then_streamed(
    photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = photos / "blue" / "003.png"
    broken.write_bytes(broken.read_bytes()[:200])
    # Who looks for copies finds what cannot be decoded before.
    expected = prepared(photos, keep_copies=True)
    fill_the_disk(monkeypatch)
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(private_cache / "small"))
    events: list[Event] = []
    found = prepared(photos, events.append, keep_copies=True)
    notices = [event.text for event in events if isinstance(event, Notice)]
    streaming = [text for text in notices if "decoded anew in every epoch" in text]
    assert len(streaming) == 1
    for part in ("need 0.0 GB", "0.0 GB are free", "--image-size", "AUTOML_IMG_CACHE"):
        assert part in streaming[0]
    checking = next(e for e in events if isinstance(e, Phase) and e.text.startswith("checking"))
    assert events.index(Notice(streaming[0])) < events.index(checking)
    assert events[events.index(checking) + 1 :].count(Progress(54, 54)) == 1
    assert found.pixels.streamed
    assert found.left_out == expected.left_out
    assert not list((private_cache / "small").rglob("*.npy"))
    for name, rows in found.rows_arrays().items():
        assert np.array_equal(rows, expected.rows_arrays()[name])


def test_batches_are_those_of_the_cache(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = prepared(photos)
    fill_the_disk(monkeypatch)
    # Other cache, so that the pixels are not found.
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(photos.parent / "small"))
    streamed = prepared(photos)
    arrays = streamed.rows_arrays()
    one, two = (
        Batches(found.pixels.images, arrays["labels"], arrays["train"], 7, seed=1)
        for found in (cached, streamed)
    )
    for epoch in range(3):
        for number in range(len(one)):
            for left, right in zip(one.batch(epoch, number), two.batch(epoch, number), strict=True):
                assert np.array_equal(left, right)
    pairs = zip(
        evaluation_batches(cached.pixels.images, arrays["validation"], 4),
        evaluation_batches(streamed.pixels.images, arrays["validation"], 4),
        strict=True,
    )
    assert all(np.array_equal(left, right) for (left, _), (right, _) in pairs)


def test_test_images_stream_too_without_those_that_cannot_be_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, split in enumerate(("train", "val", "test")):
        class_folders(tmp_path / "d" / split, per_class=6, size=16, seed=seed)
    broken = tmp_path / "d" / "test" / "green" / "001.png"
    broken.write_bytes(broken.read_bytes()[:200])
    expected = prepared(tmp_path / "d").test.open()
    fill_the_disk(monkeypatch)
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(tmp_path / "small"))
    opened = prepared(tmp_path / "d").test.open()
    assert opened.names == expected.names
    assert opened.left_out == expected.left_out
    assert opened.images.shape == (17, 16, 16, 3)
    rows = np.arange(17)
    assert np.array_equal(opened.images[rows], expected.images[rows])
    assert np.array_equal(opened.images[6], expected.images[6])


def test_the_files_are_checked_once_and_no_more_when_there_is_room_again(
    index: DataIndex, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(events: list[Event]) -> PixelCache:
        return build_pixels(index.paths, index.digests, 16, 3, private_cache, events.append)

    with monkeypatch.context() as full:
        fill_the_disk(full)
        first = built([])
        again: list[Event] = []
        assert built(again).folder == first.folder
        assert [type(event) for event in again] == [Notice]
    roomy: list[Event] = []
    assert not built(roomy).streamed
    assert not [event for event in roomy if isinstance(event, Notice)]
    fill_the_disk(monkeypatch)
    assert not built([]).streamed, "what is there needs no room"


def test_images_that_moved_are_found_where_they_are(
    index: DataIndex, photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_the_disk(monkeypatch)
    build_pixels(index.paths, index.digests, 16, 3, private_cache)
    photos.rename(photos.parent / "moved")
    moved = read_index(listing_of(str(photos.parent / "moved"), Columns(), private_cache))
    assert build_pixels(moved.paths, moved.digests, 16, 3, private_cache).images[3].any()


@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_file_that_changes_under_a_search_is_one_sentence(
    change: str, streamed: StreamedImages
) -> None:
    path = Path(streamed._paths[3])
    path.unlink() if change == "gone" else path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match="start again"):
        streamed[np.arange(6)]
    assert streamed[np.arange(4, 8)].any(), "the others can still be had"


def test_a_killed_process_costs_one_batch_and_not_the_next_trial(
    streamed: StreamedImages, cached: np.ndarray
) -> None:
    assert streamed[np.arange(60)].any()
    for process in list(processes.shared()._started):
        os.kill(process._process.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="must run to the end"):
        streamed[np.arange(60)]
    for _ in range(4):
        try:
            assert np.array_equal(streamed[np.arange(60)], cached)
            break
        except DataError:
            # One that was killed and had not been asked yet.
            continue
    else:
        pytest.fail("the processes that were killed were not replaced")


def test_a_list_of_files_that_is_damaged_is_one_sentence(
    index: DataIndex, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_the_disk(monkeypatch)
    cache = build_pixels(index.paths, index.digests, 16, 3, private_cache)
    (cache.folder / stream.FILES).write_bytes(b"damaged")
    with pytest.raises(DataError, match="remove the folder and start again"):
        _ = cache.images
    whole = build_pixels(index.paths, index.digests, 16, 3, private_cache)
    assert len(whole.images) == 60


def test_names_that_are_no_unicode_are_kept() -> None:
    names = ["/a/plain", os.fsdecode(b"/a/caf\xe9"), "/a/\N{SNOWMAN}"]
    assert stream.unpack(stream.pack(names)) == names


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_that_is_really_small(photos: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)])
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AUTOML_IMG_CACHE", str(disk))
            found = prepared(photos, image_size=64)
            assert found.pixels.streamed
            assert found.pixels.images[np.arange(54)].shape == (54, 64, 64, 3)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
