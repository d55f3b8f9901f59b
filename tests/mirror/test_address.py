from __future__ import annotations

from pathlib import Path

import pytest

from automl_img.errors import RunError, SettingsError
from automl_img.mirror.address import Address, address_of, run_at


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("S3://bucket/runs//", "s3://bucket/runs"),
        ("gcs://bucket", "gs://bucket"),
    ],
)
def test_one_folder_has_one_address(typed: str, url: str) -> None:
    assert address_of(typed) == Address(url)


def test_a_path_is_no_address() -> None:
    assert address_of("runs") is None
    assert address_of(Path("/mnt/share/runs")) is None


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("https://host/runs", "a web server takes no files"),
        ("s3://user:word@bucket/runs", "without a user or password, but s3://bucket/runs had one"),
        ("abfs://box/runs", "a folder or a URL of s3:// or gs://"),
        ("file:///mnt/runs", "a folder or a URL of s3:// or gs://"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(typed: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        address_of(typed)
    assert "word" not in str(refused.value).replace("password", "")


def test_a_run_is_named_by_its_url_or_in_its_folder(tmp_path: Path) -> None:
    here = Address("s3://bucket/runs")
    assert run_at("s3://bucket/runs/one", "elsewhere") == (here, "one")
    assert run_at("s3://bucket/one/", "runs") == (Address("s3://bucket"), "one")
    assert run_at("one", "s3://bucket/runs") == (here, "one")
    assert run_at(None, "s3://bucket/runs") == (here, None)
    assert run_at("one", tmp_path) is None


@pytest.mark.parametrize(
    "run", ["../one", "a/b", ".one", "s3://bucket", "s3://bucket/runs/..", "s3://bucket/a/b\nc"]
)
def test_a_name_that_leads_elsewhere_is_refused(run: str) -> None:
    with pytest.raises(RunError, match=r"a run('s name)? must be"):
        run_at(run, "s3://bucket/runs")
