from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from automl_img.data import unpacking
from automl_img.errors import DataError
from tests.data.listings import listed, tarred, write_table, zipped


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("inside", ["", "wrapped/twice"])
def test_an_archive_gives_what_its_folder_gives(
    pack: Callable[..., Path], inside: str, photos: Path, private_cache: Path, tmp_path: Path
) -> None:
    suffix = ".zip" if pack is zipped else ".tar.gz"
    found = listed(pack(photos, tmp_path / f"p{suffix}", inside or "."), private_cache)
    assert found.labels == listed(photos, private_cache).labels
    assert (found.name, found.kind) == ("p", "archive")


def test_a_table_in_an_archive_wins_over_its_folders_but_stays_inside(
    tmp_path: Path, private_cache: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    text = "path,label\nx/0.png,a\nx/1.png,b\n../../secret.png,a\n/etc/passwd,a\n"
    write_table(tmp_path / "d" / "x", "")
    (tmp_path / "d" / "x" / "labels.csv").unlink()
    write_table(tmp_path / "d", text, images=0)
    found = listed(zipped(tmp_path / "d", tmp_path / "d.zip"), private_cache)
    assert found.labels == ("a", "b")
    assert [item.reason for item in found.left_out] == ["no such file"] * 2


def test_nothing_in_an_archive_is_written_outside(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "evil.zip")
    link = zipfile.ZipInfo("blue/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("../../../escaped.png", b"x")
        archive.writestr("/absolute.png", b"x")
        archive.writestr("C:\\drive.png", b"x")
        archive.writestr(link, "/etc/passwd")
    found = listed(target, private_cache)
    assert len(found.paths) == 60
    assert sorted(item.name for item in found.left_out) == [
        "../../../escaped.png",
        "/absolute.png",
        "C:/drive.png",
        "blue/link.png",
    ]
    assert not list(private_cache.parent.glob("**/escaped.png"))


def test_links_and_devices_in_a_tar_file_are_left_out(photos: Path, private_cache: Path) -> None:
    target = photos.parent / "evil.tar"
    with tarfile.open(target, "w") as archive:
        archive.add(photos, "photos")
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(f"photos/blue/{name}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        up = tarfile.TarInfo("../up.png")
        up.size = 1
        archive.addfile(up, io.BytesIO(b"x"))
    found = listed(target, private_cache)
    assert len(found.paths) == 60
    assert len(found.left_out) == 4
    assert not any(path.is_symlink() for path in private_cache.rglob("*"))


def test_an_archive_that_unpacks_to_too_much_is_refused(
    photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1000)
    for target in (
        zipped(photos, photos.parent / "p.zip"),
        tarred(photos, photos.parent / "p.tgz"),
    ):
        with pytest.raises(DataError, match="must unpack to at most"):
            listed(target, private_cache)
    assert not list(private_cache.rglob("*.png"))


def test_a_damaged_archive_is_one_sentence_and_leaves_nothing(
    photos: Path, private_cache: Path
) -> None:
    whole = tarred(photos, photos.parent / "p.tgz")
    whole.write_bytes(whole.read_bytes()[:2000])
    (photos.parent / "q.zip").write_bytes(b"no zip at all")
    for target in (whole, photos.parent / "q.zip"):
        with pytest.raises(DataError, match="must be a whole zip or tar file"):
            listed(target, private_cache)
    assert not list(private_cache.rglob("*.png"))


def test_one_damaged_member_costs_one_image(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "p.zip")
    data = target.read_bytes()
    first = (photos / "blue" / "000.png").read_bytes()
    target.write_bytes(data.replace(first, first[:-9] + b"123456789"))
    found = listed(target, private_cache)
    assert len(found.paths) == 59
    assert "damaged" in found.left_out[0].reason


def test_an_encrypted_archive_is_refused(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "p.zip")
    data = bytearray(target.read_bytes())
    at = data.index(b"PK\x01\x02")
    while at != -1:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 4)
    target.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        listed(target, private_cache)


def test_a_member_of_a_zip_without_a_name_is_left_out(photos: Path, private_cache: Path) -> None:
    target = zipped(photos, photos.parent / "p.zip")
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("NAME", b"content")
    # A name ends at its first null.
    target.write_bytes(target.read_bytes().replace(b"NAME", b"\0AME"))
    found = listed(target, private_cache)
    assert len(found.paths) == 60
    assert [item.reason for item in found.left_out] == ["its name leads out of the archive"]
