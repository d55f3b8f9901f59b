from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data import cache as caches
from automl_img.data import processes
from automl_img.data.cache import built_once, cache_root, read_meta
from automl_img.data.decode import decode
from automl_img.data.index import DataIndex, read_index
from automl_img.data.listing import Columns, listing_of
from automl_img.data.pixels import PixelCache, build_pixels
from automl_img.errors import DataError
from automl_img.events import Event, Phase, Progress

ROOT = Path(__file__).parents[2]
BUILD = """
import sys, time
from pathlib import Path
from automl_img.data import pixels, worker
from automl_img.data.index import read_index
from automl_img.data.listing import Columns, listing_of
index = read_index(listing_of(sys.argv[1], Columns(), Path(sys.argv[2])))
events = []
decode = worker.decode
def slowly(*args):
    print("decoding", flush=True)
    time.sleep(float(sys.argv[3]))
    return decode(*args)
worker.decode = slowly
built = pixels.build_pixels(index.paths, index.digests, 16, 3, Path(sys.argv[2]), events.append)
print(built.folder, any("decoding" in str(event) for event in events), flush=True)
"""


def build(index: DataIndex, cache: Path, size: int = 16) -> PixelCache:
    return build_pixels(index.paths, index.digests, size, 3, cache)


def start(photos: Path, cache: Path, pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(photos), str(cache), str(pause)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture
def index(photos: Path, private_cache: Path) -> DataIndex:
    return read_index(listing_of(str(photos), Columns(), private_cache))


def test_pixels_are_those_of_the_files_in_their_order(
    index: DataIndex, private_cache: Path
) -> None:
    images = build(index, private_cache).images
    assert isinstance(images, np.memmap)
    assert (images.dtype, images.shape) == (np.dtype(np.uint8), (60, 16, 16, 3))
    for row in (0, 31, 59):
        assert np.array_equal(images[row], decode(Path(index.paths[row]), 16, 3))
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_more_images_than_a_chunk_keep_their_order(tmp_path: Path, private_cache: Path) -> None:
    for value in range(200):
        (tmp_path / "d" / str(value % 2)).mkdir(parents=True, exist_ok=True)
        # Large enough that it is more than one chunk.
        noise = np.random.default_rng(value).integers(0, 256, (64, 64), np.uint8)
        noise[:] = np.where(np.indices((64, 64)).sum(axis=0) % 7 == 0, noise, value)
        Image.fromarray(noise).save(tmp_path / "d" / str(value % 2) / f"{value:03d}.bmp")
    found = read_index(listing_of(str(tmp_path / "d"), Columns(), private_cache))
    images = build(found, private_cache, size=64).images
    for row, path in enumerate(found.paths):
        assert np.median(images[row]) == int(Path(path).stem)


def test_the_second_build_decodes_nothing(index: DataIndex, private_cache: Path) -> None:
    first = build(index, private_cache)
    events: list[Event] = []
    again = build_pixels(index.paths, index.digests, 16, 3, private_cache, events.append)
    assert again.folder == first.folder
    assert not events


def test_the_key_is_of_contents_size_and_channels_not_of_names(
    index: DataIndex, photos: Path, private_cache: Path
) -> None:
    first = build(index, private_cache)
    photos.rename(photos.parent / "moved")
    moved = read_index(listing_of(str(photos.parent / "moved"), Columns(), private_cache))
    assert build(moved, private_cache).folder == first.folder
    others = {
        build(moved, private_cache, size=8).folder,
        build_pixels(moved.paths, moved.digests, 16, 1, private_cache).folder,
        build_pixels(moved.paths[::-1], moved.digests[::-1], 16, 3, private_cache).folder,
    }
    assert len(others | {first.folder}) == 4


def test_what_cannot_be_decoded_is_zero_and_has_its_reason(
    photos: Path, private_cache: Path
) -> None:
    broken = photos / "blue" / "003.png"
    broken.write_bytes(broken.read_bytes()[:200])
    found = read_index(listing_of(str(photos), Columns(), private_cache))
    cache = build(found, private_cache)
    assert cache.failed == {3: "truncated"}
    assert not cache.images[3].any()
    assert cache.images[2].any()


@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_file_that_changed_since_it_was_read_stops_the_build(
    change: str, index: DataIndex, private_cache: Path
) -> None:
    path = Path(index.paths[40])
    path.unlink() if change == "gone" else Image.new("RGB", (9, 9)).save(path)
    with pytest.raises(DataError, match="start again"):
        build(index, private_cache)
    assert not list((private_cache / "pixels").glob("*/meta.json"))


def test_a_killed_writer_leaves_nothing_that_looks_whole(
    index: DataIndex, photos: Path, private_cache: Path
) -> None:
    with start(photos, private_cache, pause=0.2) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "decoding\n"
        writer.send_signal(signal.SIGKILL)
    left = [path for path in (private_cache / "pixels").iterdir() if path.is_dir()]
    assert left, "the writer was killed before it began to write"
    assert all(path.name.startswith(".") and read_meta(path) is None for path in left)
    cache = build(index, private_cache)
    assert cache.images[0].any()
    assert [p for p in (private_cache / "pixels").iterdir() if p.is_dir()] == [cache.folder]


def test_two_processes_build_it_once(photos: Path, private_cache: Path) -> None:
    writers = [start(photos, private_cache, pause=0.02) for _ in range(2)]
    said = [writer.communicate(timeout=60)[0].splitlines() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    folders, decoded = zip(*(lines[-1].split() for lines in said), strict=True)
    assert len(set(folders)) == 1
    assert sorted(decoded) == ["False", "True"]
    assert PixelCache(Path(folders[0])).images.shape == (60, 16, 16, 3)


@pytest.mark.timeout(60)
def test_who_waits_for_another_run_is_told_and_may_give_up(tmp_path: Path) -> None:
    events: list[Event] = []
    with caches._locked(tmp_path / "key", events.append, lambda: None):
        pass
    assert events == []
    code = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "key.lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        end = holder.stdin.close
        holder.stdout.readline()

        class NoTime(Exception):
            pass

        def look() -> None:
            raise NoTime

        with pytest.raises(NoTime):
            built_once(tmp_path / "key", lambda into: {}, look=look)

        def let_go(event: Event) -> None:
            events.append(event)
            end()

        built_once(tmp_path / "key", lambda into: {}, let_go)
    assert events == [Phase("waiting for another run that writes the same images")]


@pytest.mark.parametrize("damage", ["no meta", "torn meta", "short images", "no images"])
def test_a_damaged_folder_is_built_anew(damage: str, index: DataIndex, private_cache: Path) -> None:
    cache = build(index, private_cache)
    before = cache.images.copy()
    match damage:
        case "no meta":
            (cache.folder / "meta.json").unlink()
        case "torn meta":
            (cache.folder / "meta.json").write_text('{"format": 1, ')
        case "short images":
            os.truncate(cache.folder / "images.npy", 500)
        case _:
            (cache.folder / "images.npy").unlink()
    assert np.array_equal(build(index, private_cache).images, before)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(into: Path) -> dict[str, object]:
        (into / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match="No space left on device; free some space"):
        built_once(tmp_path / "key", fail)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["key.lock"])


def test_a_cache_that_cannot_be_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="set AUTOML_IMG_CACHE to another folder"):
        built_once(tmp_path / "file" / "pixels" / "key", lambda into: {})


def test_left_folders_of_other_keys_go_unless_someone_writes_them(tmp_path: Path) -> None:
    (tmp_path / ".dead-1").mkdir()
    (tmp_path / ".alive-1").mkdir()
    with caches._locked(tmp_path / "alive", print, lambda: None):
        code = (
            "import sys; from pathlib import Path; from automl_img.data.cache import built_once\n"
        )
        code += "built_once(Path(sys.argv[1]), lambda into: {})"
        subprocess.run([sys.executable, "-c", code, tmp_path / "new"], check=True, cwd=ROOT)
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {".alive-1", "new"}


def test_a_cache_removed_under_a_search_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="remove the folder and start again"):
        _ = PixelCache(tmp_path / "gone").images


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_IMG_CACHE", "/somewhere/else")
    assert cache_root() == Path("/somewhere/else")
    monkeypatch.delenv("AUTOML_IMG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/automl-img")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "automl-img"


def test_meta_is_plain_json_and_progress_ends_at_all(index: DataIndex, private_cache: Path) -> None:
    events: list[Event] = []
    cache = build_pixels(index.paths, index.digests, 16, 3, private_cache, events.append)
    meta = json.loads((cache.folder / "meta.json").read_text())
    assert meta["shape"] == [60, 16, 16, 3]
    assert isinstance(events[0], Phase)
    assert events[-1] == Progress(60, 60)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_processes_writes_the_same_file(
    count: int, photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = photos / "green" / "011.png"
    broken.write_bytes(broken.read_bytes()[:200])
    found = read_index(listing_of(str(photos), Columns(), private_cache))
    monkeypatch.setattr(processes, "worth", lambda *arguments: count)
    cache = build(found, private_cache)
    assert cache.failed == {31: "truncated"}
    for row, path in enumerate(found.paths):
        expected = np.zeros((16, 16, 3)) if row == 31 else decode(path, 16, 3)
        assert np.array_equal(cache.images[row], expected)
