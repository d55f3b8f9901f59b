"""Ctrl-C while trials run: once to stop with the best so far, twice to stop at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from automl_img.events import Listener, Notice


class Interrupt:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def request(self) -> None:
        """Ask that no trial starts any more and that running ones end after their epoch."""
        self._event.set()


@contextmanager
def catching_interrupts(listener: Listener) -> Iterator[Interrupt]:
    """Within the block the first Ctrl-C only asks to stop; the next one raises KeyboardInterrupt.

    Outside the main thread, where Python does not allow signal handlers, Ctrl-C is left alone.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def on_signal(number: int, frame: Any) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.request()
        listener(
            Notice(
                "stopping: no trial starts any more; the best so far is retrained and reported "
                "(Ctrl-C again to stop at once)"
            )
        )

    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
