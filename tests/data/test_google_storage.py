"""What lies behind gs://, from a server that speaks as Google's storage does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from automl_img.data.listing import Listing
from automl_img.errors import DataError
from tests.data.listings import listed, zipped
from tests.data.servers import GoogleBucket
from tests.pictures import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", per_class=3, size=8)


def contents(found: Listing) -> list[bytes]:
    return [Path(path).read_bytes() for path in found.paths]


def test_a_folder_is_listed_as_its_copy_here_and_what_did_not_change_is_fetched_once(
    google_bucket: GoogleBucket, photos: Path, private_cache: Path
) -> None:
    google_bucket.put_folder(photos, "photos")
    google_bucket.put("photos/notes.txt", b"no image")
    google_bucket.put("photos2/red/x.png", b"of another folder")
    found, local = listed(google_bucket.url("photos"), private_cache), listed(photos, private_cache)
    assert (found.name, found.kind) == ("photos", "remote")
    assert (found.names, found.labels) == (local.names, local.labels)
    assert contents(found) == contents(local)
    assert len(google_bucket.asked) == 9
    # gcs:// is the same.
    assert listed(f"gcs://{google_bucket.name}/photos/", private_cache) == found
    assert len(google_bucket.asked) == 9
    other = (photos / "red" / "000.png").read_bytes()[::-1]
    google_bucket.put("photos/red/000.png", other)
    again = listed(google_bucket.url("photos"), private_cache)
    assert contents(again)[again.names.index("red/000.png")] == other
    assert google_bucket.asked[9:] == ["photos/red/000.png"]


def test_an_archive_and_a_table_are_those_of_the_other_sources(
    google_bucket: GoogleBucket, photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    google_bucket.put("in/photos.zip", zipped(photos, tmp_path / "photos.zip").read_bytes())
    found = listed(google_bucket.url("in/photos.zip"), private_cache)
    assert (found.name, len(found.paths), found.classes) == ("photos", 9, ("blue", "green", "red"))
    google_bucket.put_folder(photos, "photos")
    rows = ["../photos/red/000.png,a", f"{google_bucket.url('photos/blue/001.png')},b"]
    rows += ["../photos/red/gone.png,a", f"{photos / 'red' / '000.png'},a"]
    google_bucket.put("in/table.csv", "\n".join(["path,label", *rows]).encode())
    for _ in range(2):
        found = listed(google_bucket.url("in/table.csv"), private_cache)
        assert found.labels == ("a", "b")
        assert contents(found) == [
            (photos / name).read_bytes() for name in ("red/000.png", "blue/001.png")
        ]
        assert [each.reason for each in found.left_out] == ["no such file"] * 2
    assert sorted(google_bucket.asked) == [
        *("in/photos.zip", "in/table.csv", "photos/blue/001.png", "photos/red/000.png")
    ]


def test_what_fails_once_is_asked_for_again(
    google_bucket: GoogleBucket, photos: Path, private_cache: Path
) -> None:
    google_bucket.put_folder(photos, "photos")
    google_bucket.failing = {"o": (503, 1), "photos/red/000.png": (503, 1)}
    found = listed(google_bucket.url("photos"), private_cache)
    assert contents(found) == contents(listed(photos, private_cache))
    assert google_bucket.failing == {"o": (503, 0), "photos/red/000.png": (503, 0)}


def test_what_is_not_there_and_what_is_refused_are_one_sentence(
    google_bucket: GoogleBucket, private_cache: Path
) -> None:
    for url in (google_bucket.url("nothing"), "gs://no-such-bucket-here/photos"):
        with pytest.raises(DataError, match=r"nothing is there|no such file"):
            listed(url, private_cache)
    with pytest.raises(DataError, match=r"photos\.zip must be there .* no such file"):
        listed(google_bucket.url("photos.zip"), private_cache)
    google_bucket.failing = {"o": (403, 99), "photos.zip": (403, 99)}
    for url in (google_bucket.url("photos"), google_bucket.url("photos.zip")):
        with pytest.raises(DataError, match="access was refused; credentials come from the env"):
            listed(url, private_cache)


def test_no_other_service_is_asked_for_the_kind_of_a_bucket() -> None:
    code = (
        "from automl_img.data.filesystems import FileSystems\n"
        "client = FileSystems()._client('gs://bucket/x')\n"
        "print(type(client).__module__, client.credentials.token)"
    )
    environment = {**os.environ, "FSSPEC_GS_TOKEN": "anon"}
    environment.pop("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["gcsfs.core", "anon"], done.stderr
