"""Ctrl-C while trials run: once to stop with the best so far, twice to stop at once.

SIGTERM, by which clusters and batch systems end what they run, stops at once.
"""

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
    """Within the block the first Ctrl-C only asks to stop; the next one, or a SIGTERM, raises
    KeyboardInterrupt.

    Outside the main thread, where Python does not allow signal handlers, both are left alone.
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

    def at_once(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, on_signal)
    terminated = signal.signal(signal.SIGTERM, at_once)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
        signal.signal(signal.SIGTERM, terminated)


@contextmanager
def keeping_signals() -> Iterator[None]:
    """What SIGTERM did before the block it does after it.

    What Ray sets as it starts aborts the process three seconds later, in the midst of what is still
    to be written; and as it ends it sets what kills at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
