from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tests.data.servers import GoogleBucket, Site, google_server, web_server


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
