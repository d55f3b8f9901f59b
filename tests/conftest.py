from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from automl_img.data import filesystems
from tests.data.servers import (
    ENVIRONMENT,
    AnyBucket,
    Bucket,
    GoogleBucket,
    google_server,
    s3_server,
)
from tests.pictures import class_folders

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"

# No example fails because the machine is slow; on CI, where Hypothesis draws the same examples each
# time, that stays so.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules with slow tests first: at the end both processes have short ones to share."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def private_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """No test reads or leaves anything in the user's own cache."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def shared_archive() -> Callable[[str], Path]:
    """The path of an archive of real images in ../shared/data; skips where it is missing.

    On CI the images are there, and a skip would hide a defect, so it fails instead.
    """

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            reason = f"../shared/data/{name} is not on this machine"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
        return path

    return find


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three class folders with 20 small PNG files each."""
    return class_folders(tmp_path / "photos")


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket that the environment has the keys of."""
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_address}.items():
        monkeypatch.setenv(name, value)
    return Bucket(s3_address, f"test-{uuid.uuid4().hex}")


@pytest.fixture
def google_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleBucket]:
    """An empty bucket of Google's storage, that the environment says where to find."""
    import fsspec

    with google_server(f"test-{uuid.uuid4().hex}") as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.address)
        monkeypatch.setenv("FSSPEC_GS_TOKEN", "anon")
        # In this process fsspec has read that once.
        monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        yield bucket


@pytest.fixture(params=["bucket", "google_bucket"], ids=["s3", "gs"])
def any_bucket(request: pytest.FixtureRequest) -> AnyBucket:
    """An empty bucket of each kind of server that runs can be on."""
    found: AnyBucket = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other without a wait."""
    monkeypatch.setattr(filesystems, "WAITS", (0.0, 0.0, 0.0))
