"""Absolute paths, which tell the user's name and machine, are cut to their last part, and so are
servers of studies."""

from __future__ import annotations

import re
from typing import Any

# /home/me/photos, ~/photos, C:\Users\me\photos, \\server\share\photos, file:///home/me/photos.
_PATH = re.compile(
    r"(?<![\w.…/\\:<])(?:file://)?(?:~[\w.-]*[/\\]|/(?=[\w.~-])|[A-Za-z]:[/\\]|\\\\)"
    r"(?:[^\s'\"<>|:*?,;()\[\]{}]*)"
)
# postgresql://me@host:5432/studies
_SERVER = re.compile(r"(postgresql://)[^\s'\"<>/]+")


def without_paths(text: str) -> str:
    """``text`` with each absolute path as ``…/its last part``, and each server as its database."""
    return _PATH.sub(_shortened, _SERVER.sub(r"\1…", text))


def without_paths_in(value: Any) -> Any:
    """``without_paths`` for every text in a JSON value."""
    if isinstance(value, str):
        return without_paths(value)
    if isinstance(value, dict):
        return {str(key): without_paths_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_paths_in(item) for item in value]
    return value


def _shortened(match: re.Match[str]) -> str:
    parts = [part for part in re.split(r"[/\\]+", match.group()) if part]
    if not parts:
        return match.group()
    # The last part of a home folder is the user's name.
    at_home = len(parts) > 1 and parts[-2].lower() in ("home", "users")
    return "…" if at_home else f"…/{parts[-1]}"
