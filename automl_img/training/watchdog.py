"""Ends the process of a trial that hangs.

``faulthandler`` waits in a thread of its own, without the lock of the interpreter, so that a trial
that hangs inside of a library is ended too. First it writes what each thread is doing into the
folder of the trial; the process that is given the trial next knows from that what became of it.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from automl_img.errors import Hung

FILE = "hang.txt"
# Of the time that is allowed: so long after it was set, the alarm is set anew.
_OFTEN = 0.05


def refuse_hung(folder: Path) -> None:
    """
    Args:
        folder: of a trial.

    Raises:
        Hung: a process was ended with it, as it hung; that is told once.
    """
    path = folder / FILE
    if path.exists() and (doing := path.read_text(encoding="utf-8", errors="replace")):
        path.unlink()
        raise Hung(
            "the trial did nothing for longer than --trial-timeout allows, so its process was "
            "ended; errors.log shows what it was at",
            doing,
        )


class Watchdog:
    """The alarm of this process; ``faulthandler`` has one. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._seconds = 0.0
        self._stream: BinaryIO | None = None
        self._set = 0.0

    def begin(self, folder: Path, seconds: float) -> None:
        """End the process, with exit code 1, once ``seconds`` have passed without ``progress``.

        Args:
            folder: of the trial.
            seconds: 0 waits for ever.

        Raises:
            Hung: a process was ended so with this trial.
        """
        self.end()
        refuse_hung(folder)
        self._path, self._seconds = folder / FILE, seconds
        self._start()

    def progress(self) -> None:
        """The trial has come further."""
        with self._lock:
            if self._stream is None:
                return
            if time.monotonic() - self._set > _OFTEN * self._seconds:
                self._arm(self._stream)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block nothing ends the process: what is waited for is not the trial's."""
        self._stop()
        yield
        self._start()

    def end(self) -> None:
        """The trial is over."""
        self._stop()
        self._path = None

    def _start(self) -> None:
        if self._path is None or not self._seconds:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._stream = self._path.open("wb")
            self._arm(self._stream)

    def _arm(self, stream: BinaryIO) -> None:
        faulthandler.dump_traceback_later(self._seconds, file=stream, exit=True)
        self._set = time.monotonic()

    def _stop(self) -> None:
        with self._lock:
            stream, self._stream = self._stream, None
            if stream is None:
                return
            faulthandler.cancel_dump_traceback_later()
            stream.close()
        assert self._path is not None
        self._path.unlink(missing_ok=True)


WATCHDOG = Watchdog()
