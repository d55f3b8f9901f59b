"""Small searches on real images, for the tests of whole searches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from automl_img import search
from automl_img.events import EpochEnded, Event
from automl_img.runs import Run
from tests.search.spaces import TINY

WIDE = {"optimizer.learning_rate": "1e-3..1e-1:log", "head.dropout": "0..0.5"}
# Bytes for a worker; with so many none is replaced because the machine is short of memory.
PLENTY = str(10**15)


def small_search(
    data: Path | str,
    out: Path | str,
    listener: Callable[[Event], None] | None = None,
    **more: object,
) -> Run:
    """Search tiny networks; the settings are those of a quick search unless ``more`` has others.

    Args:
        out: a folder, or a URL; then the space is written beside the data.
    """
    space = (out if isinstance(out, Path) else Path(data)).parent / "tiny.yaml"
    space.write_text("fix:\n  backbone: cnn\n")
    settings = {"search": WIDE, "fix": TINY, "budget": 3, "max_epochs": 3, "workers": 1, **more}
    settings["space"] = str(space)
    run: Run = search(data, listener=listener or (lambda event: None), out=str(out), **settings)
    return run


class Listening:
    """Everything that a search says, and the trial processes that there were at its epochs.

    Attributes:
        processes: ids by the number of the trial.
        retraining: ids at each epoch of the retraining.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.processes: dict[int, set[int]] = defaultdict(set)
        self.retraining: list[set[int]] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, EpochEnded):
            found = {process.pid for process in trial_processes()}
            if event.number is None:
                self.retraining.append(found)
            else:
                self.processes[event.number] |= found

    @property
    def of_trials(self) -> set[int]:
        """Every process that there was at an epoch of a trial."""
        return set().union(*self.processes.values())

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def trial_processes() -> list[psutil.Process]:
    """The processes that run trials of a search in this process, named by Ray."""
    return ray_processes("ray::ImplicitFunc")


def ray_processes(name: str = "ray::") -> list[psutil.Process]:
    """The processes of Ray below this one whose names start with ``name``."""
    found = []
    for process in psutil.Process().children(recursive=True):
        # It may end before it is asked for its name.
        with suppress(psutil.Error):
            if process.name().startswith(name):
                found.append(process)
    return found
