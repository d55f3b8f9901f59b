"""The fair comparison of ``benchmarks/versus.py``, as its script imports it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def contest(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the comparison as the script imports them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("ablated", "cells", "idle", "results", "roster", "task", "tracks", "systems.ours")
    modules = {name.split(".")[-1]: importlib.import_module(f"contest.{name}") for name in names}
    return SimpleNamespace(**modules, versus=importlib.import_module("versus"))


@pytest.fixture
def small(contest: SimpleNamespace, tmp_path: Path) -> Any:
    """The images of the small track."""
    return contest.tracks.data_of(contest.tracks.SMALL, 0, tmp_path / "data")
