"""AutoKeras, in an environment of its own; see ``peers/autokeras_cell.py``.

It searches its own space and takes no weights, so on the transfer track it starts at random.
"""

from __future__ import annotations

import frame
from peers.environment import NotInstalled, python_of

from contest.task import System, Task
from contest.tracks import find_track

_SCRIPT = frame.FOLDER / "peers" / "autokeras_cell.py"


def _command(action: str, task: Task) -> list[str]:
    epochs = find_track(task.track).max_epochs
    return [str(python_of("autokeras")), str(_SCRIPT), action, str(task.file), str(epochs)]


def _why_not() -> str | None:
    try:
        python_of("autokeras")
    except NotInstalled as error:
        return str(error)
    return None


SYSTEMS = (
    System(
        "AutoKeras",
        start=lambda task: _command("train", task),
        predict=lambda task: _command("predict", task),
        why_not=_why_not,
    ),
)
