"""Whether anything else runs on the machine: a cell whose time is taken must be alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

# Of the last minute, in processes. What ran before a first cell still counts in it.
MOST_LOAD = 0.5
# Cores that all processes together may keep busy while it is looked.
_MOST_BUSY = 0.3
_LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 15.0


def why_busy(load: float | None = MOST_LOAD, seconds: float = _LOOK_SECONDS) -> str | None:
    """A sentence that says what is going on; None where the machine is idle.

    Args:
        load: the most that the load average of the last minute may be; None leaves it out, as after
            a cell, which it still counts.
        seconds: how long to look.
    """
    average = os.getloadavg()[0]
    before = _seconds_by_process()
    busy = psutil.cpu_percent(seconds) / 100 * (psutil.cpu_count() or 1)
    after = _seconds_by_process()
    if busy > _MOST_BUSY:
        spent = {key: value - before.get(key, value) for key, value in after.items()}
        (_, name), most = max(spent.items(), key=lambda item: item[1], default=((0, "?"), 0.0))
        return f"{busy:.1f} cores are busy, most of all with {name} ({most / seconds:.1f})"
    if load is not None and average > load:
        return f"the load of the last minute was {average:.2f}, and may be {load:g}"
    return None


def wait_until_idle(load: float | None, say: Callable[[str], None]) -> None:
    """Return when nothing else runs; what it waits for is said whenever it changes."""
    while (reason := why_busy(load)) is not None:
        say(f"waiting: {reason}; --anyway does not wait")
        time.sleep(_AGAIN_SECONDS)


def _seconds_by_process() -> dict[tuple[int, str], float]:
    """CPU seconds so far, by (number, name) of each process but this one."""
    found = {}
    for process in psutil.process_iter(["pid", "name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None and process.pid != os.getpid():
            found[process.info["pid"], process.info["name"]] = times.user + times.system
    return found
