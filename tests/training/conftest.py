from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from automl_img.trials import TrialSpec


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> TrialSpec:
    """A trial on 180 pictures of 16 pixels; the tests give it folders of their own."""
    from tests.training.trials import write_pixels

    return write_pixels(tmp_path_factory.mktemp("pixels"))


@pytest.fixture
def spec(pictures: TrialSpec, tmp_path: Path) -> TrialSpec:
    """A trial of three epochs of a tiny network in its own folder."""
    return dataclasses.replace(pictures, folder=str(tmp_path / "trial"))
