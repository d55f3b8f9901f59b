"""Uploads while a search runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from automl_img.data.filesystems import FileSystems
from automl_img.data.urls import shown
from automl_img.errors import DataError, RunError
from automl_img.events import Event, Listener, Notice, Phase, TrialEnded
from automl_img.mirror import driver
from automl_img.mirror.driver import Hold, TakenOver
from automl_img.mirror.upload import Uploads
from automl_img.runs import Run

# Seconds between two rounds; the least of them where something has happened.
BETWEEN_ROUNDS, LEAST_BETWEEN = 10.0, 2.0


class Mirror:
    """Uploads what changes, in threads of its own; an upload that fails never stops the search."""

    def __init__(
        self, server: FileSystems, uploads: Uploads, hold: Hold, run: Run, to: Listener
    ) -> None:
        """
        Args:
            run: the copy that is uploaded, to its URL.
            to: hears all that the search says, and what there is to say of uploads.
        """
        self._server, self._uploads, self._hold = server, uploads, hold
        self._run, self._url, self._listener = run.path, shown(str(run.url)), to
        self._changed = threading.Event()
        # Of the rounds, and of the signs of life, which the last round still needs.
        self._ending, self._over = threading.Event(), threading.Event()
        self._notices: list[str] = []
        self._failing = False
        self._uploading = threading.Thread(target=self._upload, name="uploads", daemon=True)
        self._signing = threading.Thread(target=self._sign, name="driver", daemon=True)

    def start(self) -> None:
        self._uploading.start()
        self._signing.start()

    def hear(self, event: Event) -> None:
        """Tell the listener, and what is to be said of uploads with it.

        Raises:
            TakenOver: another machine drives the run by now.
        """
        if self._hold.lost is not None:
            raise self._hold.lost
        self._listener(event)
        self._say()
        if isinstance(event, (TrialEnded, Phase)):
            self._changed.set()

    def tell(self, words: str) -> None:
        self._listener(Notice(words))

    def end(self) -> None:
        """Upload what is left.

        Raises:
            TakenOver: another machine drives the run.
            RunError: it could not be uploaded, and is here alone.
        """
        self._ending.set()
        self._changed.set()
        try:
            self._uploading.join()
            self._say()
            self._listener(Phase(f"uploading what is left to {self._url}"))
            self._uploads.round(done=True)
        except (DataError, OSError) as error:
            raise RunError(
                f"the run is in {self._run}, but not all of it could be uploaded: {error}; "
                f"automl-img resume {self._url} uploads it"
            ) from None
        except BaseException:
            # What is under way ends soon.
            self._server.stop.set()
            raise
        finally:
            self._over.set()

    def _upload(self) -> None:
        while not self._ending.is_set():
            self._changed.clear()
            began = time.monotonic()
            self._attempt(self._uploads.round)
            self._ending.wait(LEAST_BETWEEN)
            self._changed.wait(max(0.0, BETWEEN_ROUNDS - (time.monotonic() - began)))

    def _attempt(self, upload: Callable[[], None]) -> None:
        try:
            upload()
        except TakenOver:
            return
        # Whatever it is, the search goes on, and the last round says it again.
        except Exception as error:
            if not self._failing:
                known = isinstance(error, (DataError, OSError))
                why = str(error) if known else f"{type(error).__name__}: {error}"
                self._notices.append(
                    f"uploads fail and are tried again, trials go on and are kept in {self._run}: "
                    f"{why}"
                )
            self._failing = True
            return
        if self._failing:
            self._notices.append(f"uploads to {self._url} work again")
        self._failing = False

    def _sign(self) -> None:
        while not self._over.wait(driver.BETWEEN_SIGNS):
            # Each upload looks too, and says what is wrong.
            with suppress(Exception):
                self._hold.renew()

    def _say(self) -> None:
        """Say what is to be said in the thread of the search, which the listener is used to."""
        while self._notices:
            self._listener(Notice(self._notices.pop(0)))


@contextmanager
def mirrored(mirror: Mirror) -> Iterator[Listener]:
    """Upload as long as the block lasts, and what is left at its end, however it ends.

    Yields:
        The listener that the block is to tell.

    Raises:
        RunError: see ``Mirror.end``; where the block itself fails, that is only said.
    """
    mirror.start()
    try:
        yield mirror.hear
    except TakenOver:
        with suppress(RunError):
            mirror.end()
        raise
    except BaseException:
        try:
            mirror.end()
        except RunError as error:
            mirror.tell(str(error))
        raise
    mirror.end()
