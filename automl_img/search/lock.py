"""One process at a time searches a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from automl_img.errors import RunError
from automl_img.runs import Run

_FILE = ".lock"


@contextmanager
def only_driver(run: Run) -> Iterator[None]:
    """Hold ``run`` as long as the block lasts; the system lets go of it where a process is killed.

    Raises:
        RunError: another process holds it.
    """
    lock = FileLock(run.path / _FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"the run {run.name} is being searched by another process; wait until that ends, or "
            "stop it with Ctrl-C, and then resume the run"
        ) from None
    try:
        yield
    finally:
        lock.release()
