"""Ray's token: shown where there is one, made where a Ray of our own needs it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from automl_img.search.tokens import make_token, show_token


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        # Set first, so that what the test sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_shown_only_where_there_is_one(home: Path) -> None:
    show_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("x" * 64)
    show_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_of_the_environment_is_shown(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "mine").write_text("x" * 64)
    monkeypatch.setenv(name, str(home / "mine"))
    show_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_ray_of_our_own_gets_a_token_that_nobody_else_can_read(home: Path) -> None:
    make_token()
    path = home / ".ray" / "auth_token"
    assert len(path.read_text()) == 64
    assert mode_of(path) == 0o600
    made = path.read_text()
    path.chmod(0o644)
    make_token()
    assert path.read_text() == made
    assert mode_of(path) == 0o600


def test_without_a_home_the_token_is_of_this_process(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("HOME", str(home / "file"))
    make_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_who_wants_no_token_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    make_token()
    show_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert not (home / ".ray").exists()
