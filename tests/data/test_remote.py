from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow import parquet

from automl_img.data import kept
from automl_img.data.listing import Columns, Listing, listing_of
from automl_img.errors import DataError, SettingsError
from automl_img.events import Event, Phase, Progress
from tests.data.listings import class_labels, listed, rows_of, saved, zipped
from tests.data.servers import Bucket, Site
from tests.pictures import class_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "photos", per_class=3, size=8)


@pytest.fixture
def downloaded(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The keys that were read from buckets since it was asked last."""

    def take() -> list[str]:
        lines = [r.getMessage() for r in caplog.records if r.name == "werkzeug"]
        caplog.clear()
        asked = [line.split('"')[1].split() for line in lines]
        return [
            path.split("/", 2)[2] for verb, path, _ in asked if verb == "GET" and "?" not in path
        ]

    return take


def contents(found: Listing) -> list[bytes]:
    return [Path(path).read_bytes() for path in found.paths]


def left_in(cache: Path) -> list[str]:
    return [p.name for p in (cache / "remote" / "files").rglob("*") if p.is_file()]


class TestBuckets:
    def test_a_folder_is_listed_as_its_copy_here_and_fetched_once(
        self,
        bucket: Bucket,
        photos: Path,
        private_cache: Path,
        downloaded: Callable[[], list[str]],
    ) -> None:
        bucket.put_folder(photos, "photos")
        bucket.put("photos/notes.txt", b"no image")
        bucket.put("photos2/red/x.png", b"of another folder")
        found, local = listed(bucket.url("photos"), private_cache), listed(photos, private_cache)
        assert (found.name, found.kind) == ("photos", "remote")
        assert (found.names, found.labels) == (local.names, local.labels)
        assert contents(found) == contents(local)
        assert len(downloaded()) == 9
        assert listed(bucket.url("photos/"), private_cache) == found
        assert downloaded() == []

    def test_splits_are_found_and_what_lacks_one_is_refused_before_anything_is_fetched(
        self,
        bucket: Bucket,
        photos: Path,
        private_cache: Path,
        downloaded: Callable[[], list[str]],
    ) -> None:
        bucket.put_folder(photos, "data/train")
        bucket.put_folder(photos, "data/test")
        bucket.put_folder(photos, "torn/valid")
        bucket.put_folder(photos, "torn/test")
        splits = listed(bucket.url("data"), private_cache).splits
        assert splits is not None
        assert (splits.count("train"), splits.count("test")) == (9, 9)
        downloaded()
        with pytest.raises(DataError, match=rf"^{bucket.url('torn')} must have a train folder"):
            listed(bucket.url("torn"), private_cache)
        assert downloaded() == []

    def test_a_changed_object_is_fetched_anew_and_the_others_are_not(
        self,
        bucket: Bucket,
        photos: Path,
        private_cache: Path,
        downloaded: Callable[[], list[str]],
    ) -> None:
        bucket.put_folder(photos, "photos")
        listed(bucket.url("photos"), private_cache)
        downloaded()
        # Of the same size.
        other = (photos / "red" / "000.png").read_bytes()[::-1]
        bucket.put("photos/red/000.png", other)
        found = listed(bucket.url("photos"), private_cache)
        assert contents(found)[found.names.index("red/000.png")] == other
        assert downloaded() == ["photos/red/000.png"]

    def test_names_that_lead_out_are_left_out_and_write_nothing(
        self,
        bucket: Bucket,
        photos: Path,
        tmp_path: Path,
        private_cache: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
        bucket.put_folder(photos, "photos")
        bucket.put("photos/red", b"")
        hostile = {
            "../../evil.png": "leads out",
            "red/../../../evil.png": "leads out",
            "/evil.png": "leads out",
            "red/./evil.png": "leads out",
            "..\\..\\evil.png": "leads out",
            f"red/{'n' * 300}.png": "cannot be that of a file",
            "red/000.png/evil.png": "",
        }
        for name in hostile:
            bucket.put(f"photos/{name}", b"evil")
        before = {*private_cache.parent.rglob("*.png")}
        found = listed(bucket.url("photos"), private_cache)
        reasons = {each.name: each.reason for each in found.left_out}
        assert reasons.pop("red/000.png") == "a file and a folder have the same name"
        assert {name: reasons[name] for name in reasons}.keys() == {
            name for name, reason in hostile.items() if reason
        }
        assert all(hostile[name] in reason for name, reason in reasons.items())
        assert len(found.paths) == 9
        new = {*private_cache.parent.rglob("*.png")} - before
        assert all(path.is_relative_to(private_cache / "remote" / "files") for path in new)
        assert len(new) == 9
        assert not any(path.name.startswith("evil") for path in new)

    def test_an_object_that_vanishes_after_the_listing_is_left_out(
        self, bucket: Bucket, photos: Path, private_cache: Path
    ) -> None:
        bucket.put_folder(photos, "photos")

        def vanish(event: Event) -> None:
            if isinstance(event, Phase) and event.text.startswith("fetching"):
                bucket.delete("photos/red/001.png")

        found = listing_of(bucket.url("photos"), Columns(), private_cache, vanish)
        assert [(each.name, each.reason) for each in found.left_out] == [
            ("red/001.png", "no such file")
        ]
        assert len(found.paths) == len(found.labels) == 8
        assert "red/001.png" not in found.names

    @pytest.mark.slow
    def test_archives_tables_and_parquet_files_are_those_of_the_other_sources(
        self, bucket: Bucket, photos: Path, tmp_path: Path, private_cache: Path
    ) -> None:
        rows = rows_of(photos)
        bucket.put("in/photos.zip", zipped(photos, tmp_path / "photos.zip").read_bytes())
        bucket.put("in/photos.jsonl", "\n".join(json.dumps(row) for row in rows).encode())
        parquet.write_table(class_labels(rows_of(photos, content=True)), tmp_path / "x.parquet")
        bucket.put("in/photos.parquet", (tmp_path / "x.parquet").read_bytes())
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "names.parquet")
        for split in ("train", "test"):
            bucket.put(f"in/{split}-0.parquet", (tmp_path / "names.parquet").read_bytes())
        bucket.put_folder(photos, "in/photos")
        for name in ("photos.zip", "photos.jsonl", "photos.parquet"):
            found = listed(bucket.url(f"in/{name}"), private_cache)
            assert (found.name, found.kind, len(found.paths)) == ("photos", "remote", 9), name
            assert set(found.classes) == {"blue", "green", "red"}
        for name in ("train-0.parquet", "test-0.parquet"):
            bucket.put(f"parts/{name}", (tmp_path / "x.parquet").read_bytes())
        found = listed(bucket.url("parts"), private_cache)
        assert found.splits is not None
        assert found.splits.count("test") == 9
        saved(photos, tmp_path / "saved")
        bucket.put_folder(tmp_path / "saved", "saved")
        with pytest.raises(DataError, match="saved by save_to_disk; copy it"):
            listed(bucket.url("saved"), private_cache)

    def test_a_table_names_images_beside_it_or_by_url_and_never_files_of_this_machine(
        self, bucket: Bucket, site: Site, photos: Path, private_cache: Path
    ) -> None:
        bucket.put_folder(photos, "photos")
        image = (photos / "red" / "000.png").read_bytes()
        site.files["/a.png"] = image
        bucket.put("tables/beside/it.png", image)
        here = photos / "red" / "001.png"
        cells = [
            *("../photos/red/000.png", "/photos/red/000.png", "..\\photos\\red\\000.png"),
            "beside/it.png",
            *(bucket.url("photos/red/000.png"), f"{site.address}/a.png"),
            *(str(here), f"../../../../..{here}", f"file://{here}", f"local://{here}"),
            *(f"https://x::file://{here}", f"{site.address}/b.png", ""),
        ]
        text = "path,label\n" + "".join(f"{cell},red\n" for cell in cells)
        bucket.put("tables/list.csv", text.encode())
        site.fails("/b.png", 410, 99)
        found = listed(bucket.url("tables/list.csv"), private_cache)
        assert contents(found) == [image] * 6
        reasons = {each.name: each.reason for each in found.left_out}
        assert set(reasons) == {cell.replace("\\", "/") or "(no path)" for cell in cells[6:]}
        assert reasons[f"{site.address}/b.png"] == "no such file"

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("", "no such file; look for a mistake"),
            ("photos", "no such file; look for a mistake"),
            ("photos.zip", "no such file; look for a mistake"),
        ],
    )
    def test_a_wrong_bucket_is_one_sentence(
        self, key: str, message: str, bucket: Bucket, private_cache: Path
    ) -> None:
        bucket.name = "no-such-bucket"
        with pytest.raises(DataError, match=rf"^s3://no-such-bucket/{key} must .*{message}"):
            listed(bucket.url(key), private_cache)
        with pytest.raises(DataError, match=r"name is not valid .*; mend it$"):
            listed("s3://Not A Bucket!/photos.zip", private_cache)

    def test_a_wrong_folder_is_one_sentence(self, bucket: Bucket, private_cache: Path) -> None:
        with pytest.raises(DataError, match="photos must hold images, but nothing is there"):
            listed(bucket.url("photos"), private_cache)

    def test_wrong_credentials_are_one_sentence_without_them(
        self,
        bucket: Bucket,
        s3_address: str,
        private_cache: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        bucket.put("photos/red/x.png", b"x")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-word")

        def checks_keys(after: str) -> None:
            plain = {"Content-Type": "text/plain"}
            place = f"{s3_address}/moto-api/reset-auth"
            asked = urllib.request.Request(place, after.encode(), plain, method="POST")
            urllib.request.urlopen(asked).close()

        checks_keys("0")
        try:
            for key in ("photos", "photos.zip"):
                with pytest.raises(DataError, match="access was refused; credentials come") as told:
                    listed(bucket.url(key), private_cache)
                assert "wrong" not in str(told.value)
        finally:
            checks_keys("inf")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(DataError, match="no credentials were found; credentials come"):
            listed(bucket.url("photos"), private_cache)
        assert "wrong" not in "".join(capfd.readouterr())


@pytest.mark.usefixtures("impatient")
class TestWebServers:
    def test_a_server_that_fails_twice_is_asked_again(
        self, site: Site, photos: Path, tmp_path: Path, private_cache: Path
    ) -> None:
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        site.fails("/photos.zip", 503, 2, "GET")
        assert len(listed(f"{site.address}/photos.zip", private_cache).paths) == 9
        assert site.asked["/photos.zip", "GET"] == 3

    def test_one_that_goes_on_failing_is_one_sentence_without_the_query(
        self, site: Site, private_cache: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        site.files["/photos.zip"] = b"never seen"
        site.fails("/photos.zip", 503, 99)
        with pytest.raises(
            DataError, match=r"/photos\.zip must be readable, but 4 attempts failed .*answered 503"
        ) as told:
            listed(f"{site.address}/photos.zip?signature=s3cret", private_cache)
        assert site.asked["/photos.zip", "HEAD"] == 4
        assert "s3cret" not in str(told.value) + "".join(capfd.readouterr())
        assert told.value.__cause__ is None
        assert told.value.__suppress_context__

    def test_a_connection_that_breaks_off_leaves_nothing_half(
        self, site: Site, photos: Path, tmp_path: Path, private_cache: Path
    ) -> None:
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        site.cut["/photos.zip"] = 99
        with pytest.raises(DataError, match=r"4 attempts failed .*connection broke off"):
            listed(f"{site.address}/photos.zip", private_cache)
        assert left_in(private_cache) == []
        site.cut["/photos.zip"] = 2
        assert len(listed(f"{site.address}/photos.zip", private_cache).paths) == 9
        assert left_in(private_cache) == ["photos.zip"]

    def test_an_answer_of_another_size_than_was_told_counts_as_broken_off(
        self, site: Site, private_cache: Path
    ) -> None:
        site.files["/photos.zip"] = b"x" * 1000
        site.hides = ("GET",)
        site.cut["/photos.zip"] = 99
        with pytest.raises(DataError, match=r"4 attempts failed \(500 of 1,000 bytes came\)"):
            listed(f"{site.address}/photos.zip", private_cache)
        assert left_in(private_cache) == []

    def test_an_interrupted_download_ends_soon_and_leaves_nothing_half(
        self, site: Site, private_cache: Path
    ) -> None:
        site.files["/photos.zip"] = b"x" * 10_000_000
        site.slow.add("/photos.zip")

        def interrupt(event: Event) -> None:
            if isinstance(event, Progress):
                raise KeyboardInterrupt

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            listing_of(f"{site.address}/photos.zip", Columns(), private_cache, interrupt)
        # All of it would take 20 s.
        assert time.monotonic() - begun < 10
        assert left_in(private_cache) == []

    def test_an_archive_is_fetched_once_and_anew_where_it_changed(
        self, site: Site, photos: Path, tmp_path: Path, private_cache: Path
    ) -> None:
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        for _ in range(2):
            found = listed(f"{site.address}/photos.zip", private_cache)
        assert (found.name, found.kind, site.gets()) == ("photos", "remote", 1)
        (photos / "red" / "000.png").unlink()
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        assert len(listed(f"{site.address}/photos.zip", private_cache).paths) == 8

    def test_what_tells_neither_size_nor_sign_is_fetched_each_time(
        self, site: Site, photos: Path, tmp_path: Path, private_cache: Path
    ) -> None:
        site.hides = ("HEAD", "GET")
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        listed(f"{site.address}/photos.zip", private_cache)
        (photos / "red" / "000.png").unlink()
        site.files["/photos.zip"] = zipped(photos, tmp_path / "photos.zip").read_bytes()
        assert len(listed(f"{site.address}/photos.zip", private_cache).paths) == 8

    @pytest.mark.parametrize(("status", "reason"), [(404, "no such file"), (403, "was refused")])
    def test_what_will_not_change_is_not_asked_for_again(
        self, status: int, reason: str, site: Site, private_cache: Path
    ) -> None:
        site.fails("/photos.zip", status, 99)
        with pytest.raises(DataError, match=reason):
            listed(f"{site.address}/photos.zip", private_cache)
        assert site.asked["/photos.zip", "HEAD"] == 1

    def test_a_local_table_may_name_urls_and_leaves_out_what_is_gone(
        self, site: Site, photos: Path, tmp_path: Path, private_cache: Path
    ) -> None:
        images = sorted(photos.rglob("*.png"))
        site.files = {f"/{n} a.png": path.read_bytes() for n, path in enumerate(images)}
        del site.files["/3 a.png"]
        rows = [
            f"{site.address}/{n}%20a.png?key=s3cret,{path.parent.name},s{n}"
            for n, path in enumerate(images)
        ]
        rows += [rows[0], f"{photos / 'red' / '000.png'},red,s9"]
        table = tmp_path / "urls.csv"
        table.write_text("url,label,scene\n" + "\n".join(rows))
        found = listed(table, private_cache, path="url", group="scene")
        assert contents(found) == [
            path.read_bytes() for n, path in enumerate([*images, images[0], images[6]]) if n != 3
        ]
        assert found.groups == ("s0", "s1", "s2", "s4", "s5", "s6", "s7", "s8", "s0", "s9")
        assert [each.reason for each in found.left_out] == ["no such file"]
        assert "s3cret" not in str((found.names, found.left_out))
        fetched = site.gets()
        assert listed(table, private_cache, path="url", group="scene") == found
        # One of them is asked for in vain again.
        assert site.gets() == fetched + 1

    def test_a_folder_on_a_web_server_is_refused_with_what_to_do(self, private_cache: Path) -> None:
        with pytest.raises(DataError, match="lists no folder; give one of these, or a table"):
            listed("https://localhost/photos", private_cache)

    def test_a_password_is_refused_and_not_repeated(self, private_cache: Path) -> None:
        with pytest.raises(DataError, match=r"^https://localhost/x\.zip must be given") as told:
            listed("https://me:s3cret@localhost/x.zip", private_cache)
        assert "s3cret" not in str(told.value)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/x.zip", "http://[/x.zip"])
    def test_an_address_that_nobody_answers_at_is_one_sentence(
        self, url: str, private_cache: Path
    ) -> None:
        with pytest.raises(DataError, match=r"connection refused|is not valid"):
            listed(url, private_cache)


class TestTheBound:
    def bounded(self, monkeypatch: pytest.MonkeyPatch, amount: str) -> None:
        monkeypatch.setenv("AUTOML_IMG_REMOTE_CACHE", amount)

    def site_of(self, site: Site, tmp_path: Path, *names: str) -> list[Path]:
        tables = []
        for name in names:
            site.files[f"/{name}.png"] = name.encode() * 1000
            table = tmp_path / f"{name}.csv"
            table.write_text(f"path,label\n{site.address}/{name}.png,x")
            tables.append(table)
        return tables

    def test_it_is_50_gb_unless_the_environment_says_otherwise(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert kept.bound() == 50_000_000_000
        self.bounded(monkeypatch, "1.5GB")
        assert kept.bound() == 1_500_000_000
        self.bounded(monkeypatch, "much")
        with pytest.raises(SettingsError, match="amount such as 50GB, but is 'much'"):
            kept.bound()

    def test_the_least_recently_used_leave_first(
        self, site: Site, tmp_path: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bounded(monkeypatch, "2500")
        first, second, third = self.site_of(site, tmp_path, "a", "b", "c")
        paths = {}
        for minutes, table in ((-3, first), (-2, second), (-1, first)):
            paths[table] = Path(listed(table, private_cache).paths[0])
            # As if that had been then.
            now = time.time()
            with sqlite3.connect(private_cache / "remote" / "origins.db") as origins:
                name = paths[table].relative_to(private_cache / "remote").as_posix()
                then = (now + minutes * 60, name)
                origins.execute("update origins set used = ? where name = ?", then)
            os.utime(paths[table], (now - 3600, now - 3600))
        listed(third, private_cache)
        assert paths[first].exists()
        assert not paths[second].exists()
        fetched = site.gets()
        assert listed(second, private_cache).paths == (str(paths[second]),)
        assert site.gets() == fetched + 1

    def test_a_table_or_archive_that_is_larger_is_refused_before_it_is_fetched(
        self, bucket: Bucket, private_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bounded(monkeypatch, "1.5MB")
        bucket.put("photos.zip", b"x" * 2 * 10**6)
        with pytest.raises(DataError, match=r"may take 0\.0015 GB .* takes 0\.002 GB; set AUTOML"):
            listed(bucket.url("photos.zip"), private_cache)
        monkeypatch.setenv("AUTOML_IMG_REMOTE_CACHE", "1GB")
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
        with pytest.raises(DataError, match="are free in"):
            listed(bucket.url("photos.zip"), private_cache)
        assert left_in(private_cache) == []

    def test_what_a_data_set_has_already_does_not_leave_for_the_rest_of_it(
        self, site: Site, tmp_path: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, _ = self.site_of(site, tmp_path, "a", "b")
        here = Path(listed(first, private_cache).paths[0])
        first.write_text(first.read_text() + f"\n{site.address}/b.png,x")
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=500))
        listed(first, private_cache)
        assert left_in(private_cache) == [here.name]

    def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(
        self, tmp_path: Path, site: Site, private_cache: Path
    ) -> None:
        (table,) = self.site_of(site, tmp_path, "a")
        folder = private_cache / "remote" / "files" / "ab"
        folder.mkdir(parents=True)
        for name, age in ((".x-old", 7200), (".x-new", 60)):
            (folder / name).write_bytes(b"x")
            then = (folder / name).stat().st_mtime - age
            os.utime(folder / name, (then, then))
        listed(table, private_cache)
        assert [path.name for path in folder.iterdir()] == [".x-new"]


def test_progress_is_told_in_megabytes(bucket: Bucket, private_cache: Path) -> None:
    for name in ("a", "b"):
        bucket.put(f"photos/{name}/x.png", b"x" * 1_500_000)
    events: list[Event] = []
    listing_of(bucket.url("photos"), Columns(), private_cache, events.append)
    (told,) = [e.text for e in events if isinstance(e, Phase) and e.text.startswith("fetching")]
    assert told == f"fetching 2 files of {bucket.url('photos')}, 3 MB"
    assert [e for e in events if isinstance(e, Progress)][-1] == Progress(3, 3)


def test_a_missing_package_is_told_with_its_extra(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.registry import _registry

    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.delitem(_registry, scheme, raising=False)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(DataError, match=rf"package {package}, .*'automl-img\[remote\]'"):
            listed(f"{scheme}://bucket/photos", private_cache)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(DataError, match=r"package aiohttp, .*'automl-img\[remote\]'"):
        listed("https://localhost/x.zip", private_cache)


def test_columns_need_a_table(bucket: Bucket, photos: Path, private_cache: Path) -> None:
    bucket.put_folder(photos, "photos")
    with pytest.raises(SettingsError, match=f"--label-column needs a table, but {bucket.url()}"):
        listed(bucket.url("photos"), private_cache, label="x")
