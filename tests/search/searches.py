"""Small searches on real images, for the tests of whole searches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from automl_img import search
from automl_img.events import Event
from automl_img.runs import Run
from tests.search.spaces import TINY

WIDE = {"optimizer.learning_rate": "1e-3..1e-1:log", "head.dropout": "0..0.5"}


def small_search(
    data: Path | str, out: Path, listener: Callable[[Event], None] | None = None, **more: object
) -> Run:
    """Search tiny networks; the settings are those of a quick search unless ``more`` has others."""
    space = out.parent / "tiny.yaml"
    space.write_text("fix:\n  backbone: cnn\n")
    settings = {"search": WIDE, "fix": TINY, "budget": 3, "max_epochs": 3, "workers": 1, **more}
    settings["space"] = str(space)
    run: Run = search(data, listener=listener or (lambda event: None), out=str(out), **settings)
    return run


def trial_processes() -> list[psutil.Process]:
    """The processes that run trials of a search in this process, named by Ray."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if process.name().startswith("ray::ImplicitFunc")]
