"""What a later run knows of files without reading them, and when it does not trust that."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img.data import headers, memo
from automl_img.data.index import DataIndex, read_index
from automl_img.data.listing import Columns, listing_of
from automl_img.events import Event, Progress
from tests.pictures import class_folders


@pytest.fixture
def old(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos that count as unchanged for long."""
    monkeypatch.setattr(memo, "RACY_NS", -(10**12))
    return photos


def indexed(data: Path, cache: Path, read: list[str] | None = None) -> DataIndex:
    """The index, and in ``read`` the number of files that were read."""
    events: list[Event] = []
    index = read_index(listing_of(str(data), Columns(), cache), events.append, cache)
    if read is not None:
        totals = {event.total for event in events if isinstance(event, Progress)}
        read.append(str(max(totals, default=0)))
    return index


def test_a_second_run_reads_no_file_and_finds_the_same(old: Path, private_cache: Path) -> None:
    read: list[str] = []
    first, second = (indexed(old, private_cache, read) for _ in range(2))
    assert read == ["60", "0"]
    assert second.fingerprint == first.fingerprint
    for name in ("widths", "heights", "grey", "digests"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype


def content(path: Path) -> None:
    Image.new("RGB", (31, 17)).save(path)


def same_size_and_time(path: Path) -> None:
    # As a careless copy does: only the time of the inode tells.
    state = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def another_file(path: Path) -> None:
    twin = path.with_name("twin.tmp")
    shutil.copy2(path, twin)
    twin.replace(path)


@pytest.mark.parametrize("change", [content, same_size_and_time, another_file])
def test_a_file_that_changed_is_read_again(
    change: Callable[[Path], None], old: Path, private_cache: Path
) -> None:
    indexed(old, private_cache)
    change(old / "green" / "007.png")
    read: list[str] = []
    index = indexed(old, private_cache, read)
    assert read == ["1"]
    assert index.digests.tobytes() == indexed(old, private_cache / "new").digests.tobytes()


def test_files_may_come_go_and_move(old: Path, private_cache: Path) -> None:
    indexed(old, private_cache)
    (old / "red" / "000.png").unlink()
    content(old / "red" / "new.png")
    read: list[str] = []
    index = indexed(old, private_cache, read)
    assert read == ["1"]
    assert index.fingerprint == indexed(old, private_cache / "new").fingerprint
    assert index.widths[index.names.index("red/new.png")] == 31


def test_a_file_changed_just_before_it_was_read_is_not_trusted(
    photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is, that is just before.
    monkeypatch.setattr(memo, "RACY_NS", 10**12)
    for path in photos.rglob("*.png"):
        # Their content is old, but the inode is not: they could have been moved here right now.
        os.utime(path, (time.time() - 10_000,) * 2)
    read: list[str] = []
    for _ in range(2):
        indexed(photos, private_cache, read)
    assert read == ["60", "60"]
    assert not list(private_cache.rglob("*.npz"))


def test_what_is_no_image_is_read_each_time_as_the_reason_may_pass(
    old: Path, private_cache: Path
) -> None:
    (old / "red" / "003.png").write_bytes(b"no image")
    read: list[str] = []
    left_out = [indexed(old, private_cache, read).left_out for _ in range(2)]
    assert read == ["60", "1"]
    assert left_out[0] == left_out[1]
    assert left_out[0][0].name == "red/003.png"


@pytest.mark.parametrize("damage", ["empty", "torn", "noise", "other format", "columns", "flipped"])
def test_a_damaged_memo_is_ignored_and_written_anew(
    damage: str, old: Path, private_cache: Path
) -> None:
    expected = indexed(old, private_cache).fingerprint
    (file,) = (private_cache / "index").iterdir()
    whole = file.read_bytes()
    with np.load(file) as kept:
        arrays = dict(kept)
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "torn":
            file.write_bytes(whole[: len(whole) // 2])
        case "noise":
            file.write_bytes(bytes(range(256)) * 20)
        case "other format":
            np.savez(file, **{**arrays, "format": np.array(0)})
        case "columns":
            np.savez(file, **{**arrays, "digests": arrays["digests"][:3]})
        case _:
            at = whole.index(arrays["digests"].tobytes())
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    read: list[str] = []
    assert indexed(old, private_cache, read).fingerprint == expected
    indexed(old, private_cache, read)
    assert read == ["60", "0"]


def test_a_cache_that_cannot_be_written_costs_only_time(
    old: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (private_cache / "index").write_text("a file where the folder should be")
    assert len(indexed(old, private_cache)) == 60
    assert len(indexed(old, private_cache)) == 60


def test_each_data_set_has_a_memo_of_its_own(
    old: Path, private_cache: Path, tmp_path: Path
) -> None:
    class_folders(tmp_path / "other", classes=2)
    read: list[str] = []
    for data in (old, tmp_path / "other", old, tmp_path / "other"):
        indexed(data, private_cache, read)
    assert read == ["60", "40", "0", "0"]


def test_a_name_that_is_no_unicode_is_remembered(old: Path, private_cache: Path) -> None:
    odd = os.fsencode(old / "red") + b"/caf\xe9.png"
    try:
        shutil.copy(old / "red" / "000.png", odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    read: list[str] = []
    first, second = (indexed(old, private_cache, read) for _ in range(2))
    assert read == ["61", "0"]
    assert first.names == second.names


def test_a_file_that_changes_while_it_is_read_is_read_again(
    old: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_files = headers._read

    def change_first(*arguments: object) -> None:
        content(old / "blue" / "005.png")
        read_files(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(headers, "_read", change_first)
    indexed(old, private_cache)
    monkeypatch.setattr(headers, "_read", read_files)
    read: list[str] = []
    indexed(old, private_cache, read)
    assert read == ["1"]
