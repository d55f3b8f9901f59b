from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.servers import Site, web_server


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
