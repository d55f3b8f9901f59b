from __future__ import annotations

from pathlib import Path

import pytest

from automl_img.mirror import driver
from tests.mirror.disk import Disk


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for another who may begin at the same time."""
    monkeypatch.setattr(driver, "SETTLING", 0.0)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "server")
