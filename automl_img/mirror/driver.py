"""One machine at a time drives a run at a URL: ``driver.json`` there says who, and is renewed.

Whoever finds it without a sign of life takes over; who drove before then stops, as soon as it sees
that. Times are those of the server, so clocks of machines may differ.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from automl_img.data.failures import NotThere, Refused
from automl_img.data.filesystems import FileSystems, Stopped
from automl_img.data.urls import shown
from automl_img.errors import DataError, RunError
from automl_img.mirror.manifest import DRIVER

# Seconds after the last sign of life at which another may take over, and between two such signs.
FRESH, BETWEEN_SIGNS = 60.0, 15.0
# Seconds that two who begin at once need to see each other.
SETTLING = 1.0
_LARGEST = 10_000


class TakenOver(RunError):
    """Another machine goes on with the run."""


@dataclass(frozen=True)
class _Driver:
    session: str
    host: str
    process: int
    time: float

    @staticmethod
    def read(content: bytes) -> _Driver | None:
        try:
            told = json.loads(content)
            return _Driver(
                str(told["session"])[:100],
                str(told["host"])[:100],
                int(told["process"]),
                float(told["time"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def written(self) -> bytes:
        return (json.dumps(vars(self), indent=2) + "\n").encode()


class Hold:
    """That this process drives the run at ``url``, once ``claim`` has returned."""

    def __init__(self, server: FileSystems, url: str) -> None:
        self.session = secrets.token_hex(8)
        self._server, self._url = server, url
        self._at = f"{url}/{DRIVER}"
        self._lock = threading.Lock()
        self._signed = 0.0
        self.lost: TakenOver | None = None

    def claim(self, ours: str | None = None) -> None:
        """Take the run.

        Args:
            ours: the session that drove the copy of this machine, and does so no more.

        Raises:
            RunError: another drives it.
            DataError: the URL cannot be read or written.
        """
        found, age = self._look()
        if found is not None and found.session != ours and age < FRESH:
            raise RunError(
                f"{shown(self._url)} is being searched on {found.host} (process {found.process}), "
                f"which gave a sign of life {max(age, 0):.0f} s ago; stop it there with Ctrl-C, or "
                f"resume {FRESH:.0f} s after the last one"
            )
        self._sign()
        time.sleep(SETTLING)
        self.renew()
        if self.lost is not None:
            raise self.lost

    def check(self) -> None:
        """
        Raises:
            TakenOver: another drives the run.
            DataError: whether that is so cannot be seen.
        """
        # A machine that slept may have missed that it was taken over.
        if self.lost is None and abs(time.time() - self._signed) > FRESH / 2:
            self.renew()
        if self.lost is not None:
            raise self.lost

    def renew(self) -> None:
        """Give a sign of life, unless another has taken over: then ``lost`` says so.

        Raises:
            DataError: the URL cannot be read or written.
        """
        with self._lock:
            found, _ = self._read()
            if found is not None and found.session != self.session:
                self.lost = TakenOver(
                    f"this search has ended, as {found.host} (process {found.process}) goes on "
                    f"with {shown(self._url)}"
                )
            elif self.lost is None:
                self._sign()

    def release(self) -> None:
        """Let go of the run, so that another may go on with it at once.

        Raises:
            DataError: see ``renew``.
        """
        with self._lock:
            found, _ = self._read()
            if found is not None and found.session == self.session:
                self._server.remove(self._at)

    def _look(self) -> tuple[_Driver | None, float]:
        """Who drives, and how many seconds ago that was said."""
        found, written = self._read()
        if found is None:
            return None, 0.0
        now = self._time_there()
        if written is None or now is None:
            return found, time.time() - found.time
        return found, now - written

    def _read(self) -> tuple[_Driver | None, float | None]:
        try:
            file = self._server.file(self._at)
            if (file.size or 0) > _LARGEST:
                return None, None
            # A sign of life that is given meanwhile may have another size.
            content = self._server.content(dataclasses.replace(file, size=None))
        except NotThere:
            return None, None
        return _Driver.read(content), file.modified

    def _sign(self) -> None:
        own = _Driver(self.session, socket.gethostname(), os.getpid(), time.time())
        self._server.write(own.written(), self._at)
        self._signed = time.time()

    def _time_there(self) -> float | None:
        return write_try(self._server, self._url, self.session)


@contextmanager
def holding(server: FileSystems, url: str, ours: str | None = None) -> Iterator[Hold]:
    """Drive the run at ``url`` as long as the block lasts.

    Args:
        ours: see ``Hold.claim``.

    Raises:
        RunError: another drives it.
        DataError: the URL cannot be read or written.
    """
    hold = Hold(server, url)
    hold.claim(ours)
    try:
        yield hold
    finally:
        # Where that fails, nobody may take over for a minute.
        with suppress(DataError, Stopped):
            hold.release()


def write_try(server: FileSystems, folder: str, name: str) -> float | None:
    """Write a small file to ``folder`` and delete it.

    Returns:
        The time by the clock of the server; None where it does not tell that.

    Raises:
        DataError: it cannot be written, read or deleted.
    """
    url = f"{folder}/.automl-img-{name}"
    server.write(b"", url)
    try:
        return server.file(url).modified
    finally:
        server.remove(url)


def check_writable(url: str) -> None:
    """
    Raises:
        RunError: files below ``url`` cannot be written, read and deleted.
    """
    server = FileSystems()
    try:
        write_try(server, url, secrets.token_hex(8))
    except NotThere:
        why = "there is no such bucket; make it, or look for a mistake in its name"
    except Refused as refused:
        why = f"{refused.reason}; {refused.hint}"
    except DataError as error:
        why = str(error)
    else:
        return
    raise RunError(f"runs cannot be written to {shown(url)}: {why}")
