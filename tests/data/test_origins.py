"""Images behind URLs that the cache does not keep: fetched again as they are read."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from automl_img.data import pixels as pixel_caches
from automl_img.data.cache import NoRoom
from automl_img.data.origins import Origins, fetch_again, read_ahead
from automl_img.data.prepare import Prepared, prepare
from automl_img.data.stream import StreamedImages
from automl_img.errors import DataError, Unreachable
from automl_img.events import Event, Notice
from automl_img.settings import SearchSettings
from tests.data.servers import Bucket, Site
from tests.pictures import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", per_class=10, size=16)


@pytest.fixture
def table(photos: Path, site: Site, tmp_path: Path) -> Path:
    """One that names the photos by URL, on a server that counts what it is asked."""
    rows = ["path,label"]
    for path in sorted(photos.rglob("*.png")):
        site.files[f"/{path.parent.name}-{path.name}"] = path.read_bytes()
        rows.append(f"{site.address}/{path.parent.name}-{path.name},{path.parent.name}")
    found = tmp_path / "urls.csv"
    found.write_text("\n".join(rows))
    return found


def prepared(data: object, heard: list[str] | None = None) -> Prepared:
    def hear(event: Event) -> None:
        if isinstance(event, Notice) and heard is not None:
            heard.append(event.text)

    return prepare(SearchSettings.model_validate({"data": str(data)}), hear)


def pixels_of(found: Prepared) -> dict[tuple[str, ...], list[np.ndarray]]:
    """By the class, the sorted pixels of training, validation and test images."""
    images, split = found.pixels.images, found.split
    used = np.concatenate([split.train, split.validation])
    rows = found.cache_rows[used]
    test = found.test.open()
    every = [*images[rows], *test.images[np.arange(len(test.labels))]]
    names = [found.class_names[label] for label in (*found.index.labels[used], *test.labels)]
    return {
        name: sorted(
            (image for image, own in zip(every, names, strict=True) if own == name), key=bytes
        )
        for name in found.class_names
    }


def same(one: Prepared, other: Prepared) -> bool:
    first, second = pixels_of(one), pixels_of(other)
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def files_in(cache: Path) -> list[Path]:
    return [path for path in (cache / "remote" / "files").rglob("*") if path.is_file()]


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_IMG_REMOTE_CACHE", "2kB")


@pytest.fixture
def without_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path, needed: int) -> None:
        raise NoRoom(needed, 0, folder)

    monkeypatch.setattr(pixel_caches, "check_space", refuse)


class TestLargerThanTheBound:
    def test_a_folder_in_a_bucket_gives_the_images_of_its_copy_here_and_keeps_none(
        self, bucket: Bucket, photos: Path, private_cache: Path, bounded: None
    ) -> None:
        bucket.put_folder(photos, "photos")
        heard: list[str] = []
        found = prepared(bucket.url("photos"), heard)
        assert any(
            "is larger than downloads may be in the cache (2e-06 GB)" in text for text in heard
        )
        assert files_in(private_cache) == []
        assert not any(Path(path).exists() for path in found.index.paths)
        here = prepared(photos)
        assert found.index.names == here.index.names
        assert found.index.fingerprint == here.index.fingerprint
        assert same(found, here)

    def test_a_later_run_fetches_nothing_but_the_test_images_that_it_opens(
        self, table: Path, site: Site, private_cache: Path, bounded: None
    ) -> None:
        first = prepared(table)
        fetched = site.gets()
        second = prepared(table)
        assert site.gets() == fetched
        assert second.index.fingerprint == first.index.fingerprint
        second.test.open()
        assert site.gets() == fetched + len(second.split.test)

    def test_an_image_whose_server_tells_nothing_is_read_anew_by_each_run(
        self, table: Path, site: Site, private_cache: Path, bounded: None
    ) -> None:
        site.hides = ("HEAD", "GET")
        first = prepared(table)
        fetched = site.gets()
        path = next(path for path in site.files if path.startswith("/"))
        other = next(content for content in site.files.values() if content != site.files[path])
        site.files[path] = other
        second = prepared(table)
        assert site.gets() > fetched
        assert second.index.fingerprint != first.index.fingerprint

    def test_nor_is_what_an_earlier_run_kept_of_such_a_server_believed(
        self, table: Path, site: Site, private_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.hides = ("HEAD", "GET")
        first = prepared(table)
        assert len(files_in(private_cache)) == len(site.files)
        *_, before, last = site.files
        site.files[last] = site.files[before]
        monkeypatch.setenv("AUTOML_IMG_REMOTE_CACHE", "2kB")
        assert prepared(table).index.fingerprint != first.index.fingerprint

    def test_without_room_for_pixels_either_each_epoch_fetches_its_batches(
        self,
        table: Path,
        site: Site,
        photos: Path,
        private_cache: Path,
        bounded: None,
        without_pixels: None,
    ) -> None:
        found = prepared(table)
        images = found.pixels.images
        assert isinstance(images, StreamedImages)
        for _ in range(2):
            fetched = site.gets()
            batch = images[np.arange(6)]
            assert site.gets() == fetched + 6
            assert batch.shape == (6, 16, 16, 3)
        assert same(found, prepared(photos))

    def test_what_does_not_fit_on_the_disk_is_fetched_as_it_is_read(
        self, table: Path, photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
            found = prepared(table, heard)
            assert any("does not fit on the disk of the cache" in text for text in heard)
            assert files_in(private_cache) == []
        assert same(found, prepared(photos))

    def test_what_does_not_tell_its_size_is_kept_up_to_the_bound(
        self, table: Path, site: Site, photos: Path, private_cache: Path, bounded: None
    ) -> None:
        site.hides = ("HEAD", "GET")
        found = prepared(table)
        assert sum(path.stat().st_size for path in files_in(private_cache)) <= 2000
        assert same(found, prepared(photos))


def test_a_file_that_another_run_has_removed_is_fetched_again(
    table: Path, site: Site, photos: Path, private_cache: Path, without_pixels: None
) -> None:
    found = prepared(table)
    for path in files_in(private_cache)[::2]:
        path.unlink()
    assert same(found, prepared(photos))


def test_a_server_that_fails_ends_the_run_and_leaves_no_image_out(
    table: Path, site: Site, private_cache: Path, bounded: None, impatient: None
) -> None:
    path = next(iter(site.files))
    site.fails(path, 503, 99, "GET")
    with pytest.raises(Unreachable, match=r"4 attempts failed \(the server answered 503\)"):
        prepared(table)
    site.failing.clear()
    site.fails(path, 503, 2, "GET")
    assert not prepared(table).left_out


def test_reading_that_is_given_up_half_way_waits_for_nothing() -> None:
    answered = threading.Event()

    def read(path: str) -> bytes:
        if path != "0":
            assert answered.wait(60)
        return path.encode()

    ahead = read_ahead([str(number) for number in range(40)], read)
    path, content = next(ahead)
    assert (path, content()) == ("0", b"0")
    # As Python does where it collects the generator.
    ending = threading.Thread(target=ahead.close, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()
    answered.set()


def test_an_image_that_is_gone_by_then_is_left_out_with_its_reason(
    table: Path, site: Site, private_cache: Path, bounded: None
) -> None:
    path = next(iter(site.files))
    site.fails(path, 404, 99, "GET")
    found = prepared(table)
    assert [item.reason for item in found.left_out] == ["no such file"]


def test_an_image_that_changes_during_the_run_is_one_sentence(
    table: Path, site: Site, private_cache: Path, bounded: None, without_pixels: None
) -> None:
    found = prepared(table)
    names = list(site.files)
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        site.files[name], site.files[other] = site.files[other], site.files[name]
    with pytest.raises(DataError, match=r"must not change while it is read|must be readable"):
        found.pixels.images[np.arange(len(found.pixels.images))]


def test_paths_of_other_files_are_never_fetched(tmp_path: Path, private_cache: Path) -> None:
    for path in (tmp_path / "x.png", private_cache / "remote" / "files" / "ab" / "x.png"):
        assert fetch_again(path) is None


def test_where_files_came_from_is_for_the_owner_alone(
    table: Path, private_cache: Path, tmp_path: Path
) -> None:
    prepared(table)
    root = private_cache / "remote"
    assert (root / "origins.db").stat().st_mode & 0o077 == 0
    found = Origins(root)
    name = next(iter(found.used()))
    origin = found.of(name)
    assert origin is not None
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\w+-.*\.png", origin.url)
    (root / "origins.db").write_bytes(b"no database" * 99)
    assert found.of(name) is None
    assert found.used() == {}
    prepared(table)
    assert found.of(name) == origin
