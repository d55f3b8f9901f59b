"""The entry of a peer's process: ``python -m contest.start MODULE train|predict TASK``."""

from __future__ import annotations

import importlib
import sys

import frame

from contest.task import Task


def command(module: str, action: str, task: Task) -> list[str]:
    """The command that calls ``action`` ("train" or "predict") of ``contest.systems.MODULE``."""
    return frame.python("-m", "contest.start", module, action, task.file)


def main(module: str, action: str, path: str) -> None:
    frame.quiet()
    getattr(importlib.import_module(f"contest.systems.{module}"), action)(Task.read(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
