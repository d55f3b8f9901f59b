"""Imports that the driver needs at the end alone."""

from __future__ import annotations

import functools
import importlib
import threading


class LoadAhead:
    """Imports what tests the winner, which the driver has not needed before, while a worker trains
    the winner again."""

    def __init__(self) -> None:
        target = functools.partial(importlib.import_module, "automl_img.search.finalists")
        self._thread = threading.Thread(target=target, daemon=True)

    def begin(self) -> None:
        """In a thread, at once."""
        self._thread.start()

    def end(self) -> None:
        """Wait for it: where Ray is ended meanwhile, it takes the process along, with code 1."""
        if self._thread.ident is not None:
            self._thread.join()
