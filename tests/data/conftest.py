from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from automl_img.data import filesystems
from tests.data.servers import (
    KEYS,
    Bucket,
    GoogleBucket,
    Site,
    google_server,
    s3_server,
    web_server,
)


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket that the environment has the keys of."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3_address}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Bucket(s3_address, f"test-{uuid.uuid4().hex}")


@pytest.fixture
def google_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleBucket]:
    """An empty bucket of Google's storage, that the environment says where to find."""
    with google_server(f"test-{uuid.uuid4().hex}") as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.address)
        # As FSSPEC_GS_TOKEN=anon does, which fsspec reads once.
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        yield bucket


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server without a file."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with web_server() as served:
        yield served


@pytest.fixture(scope="session")
def catalogue_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where data sets of tensorflow-datasets were prepared; see ``tests.data.catalogue``."""
    folder = tmp_path_factory.mktemp("tfds")
    # Apart, as a program that uses TensorFlow makes a process slow to fork and large.
    subprocess.run([sys.executable, "-m", "tests.data.catalogue", folder], check=True)
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other without a wait."""
    monkeypatch.setattr(filesystems, "WAITS", (0.0, 0.0, 0.0))
