"""Rounds in which what changed in a run folder is uploaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from automl_img.data.filesystems import FileSystems
from automl_img.errors import DataError
from automl_img.mirror.driver import Hold
from automl_img.mirror.manifest import MANIFEST, UPLOADING, Manifest, Memory, beside
from automl_img.mirror.snapshot import WHOSE, Captured, capture, files_of, is_of_winner

_AT_ONCE = 8

T = TypeVar("T")


class Uploads:
    """What is uploaded of the copy ``run``, one round after the other."""

    def __init__(
        self, server: FileSystems, hold: Hold, run: Path, memory: Memory, there: Collection[str]
    ) -> None:
        """
        Args:
            memory: what the copy knows to be at the URL.
            there: the paths of all files that are there.
        """
        self._server, self._hold, self._run, self._memory = server, hold, run, memory
        self._there = set(there)
        self._staging = beside(run, UPLOADING)
        self._told = False

    def round(self, done: bool = False) -> None:
        """Upload what changed since the last round, and remove what is gone.

        Args:
            done: it is the last round of its session.

        Raises:
            TakenOver: another drives the run; nothing more is uploaded.
            DataError: the URL cannot be written.
            OSError: this machine cannot hold the files to upload.
        """
        self._hold.check()
        if not self._told:
            # First, so that whoever finds the rest half done knows that it is.
            self._tell()
        before = dict(self._memory.sent.files)
        try:
            self._upload()
        except DataError:
            with suppress(DataError):
                self._tell()
            raise
        if self._memory.sent.files != before:
            self._tell()
        if done:
            self._memory.done = True
            self._memory.write(self._run)

    def _upload(self) -> None:
        # Before anything is captured: what goes away later is still referred to.
        gone = self._there - set(files_of(self._run))
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True)
        try:
            found = capture(self._run, self._memory.signatures, self._staging)
            # Some may have come back.
            gone -= {each.name for files in found for each in files}
            self._replace_winner(found, gone)
            for files in found:
                self._each(self._send, files)
            self._each(self._remove, gone & self._there)
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def _replace_winner(self, found: list[list[Captured]], gone: set[str]) -> None:
        """Where another trial is retrained, make sure that nothing there takes files of one for
        those of the other."""
        changed = any(each.name == WHOSE for files in found for each in files)
        if changed or WHOSE in gone:
            self._each(self._remove, self._there & {WHOSE})
            self._each(self._remove, {name for name in gone if is_of_winner(name)} - {WHOSE})

    def _send(self, file: Captured) -> None:
        self._hold.check()
        self._server.upload(file.path, self._url(file.name))
        self._there.add(file.name)
        self._memory.sent.files[file.name] = file.entry
        self._memory.signatures[file.name] = file.signature

    def _remove(self, name: str) -> None:
        self._hold.check()
        self._server.remove(self._url(name))
        self._there.discard(name)
        self._memory.sent.files.pop(name, None)
        self._memory.signatures.pop(name, None)

    def _tell(self) -> None:
        """Say at the URL what is there, and remember it here."""
        self._hold.check()
        self._memory.sent = Manifest(self._hold.session, self._memory.sent.files)
        self._memory.write(self._run)
        content = json.dumps(self._memory.sent.to_json()).encode()
        self._server.write(content, self._url(MANIFEST))
        self._told = True

    def _url(self, name: str) -> str:
        return f"{self._memory.url}/{name}"

    def _each(self, do: Callable[[T], None], items: Iterable[T]) -> None:
        pool = ThreadPoolExecutor(_AT_ONCE, "upload")
        try:
            for _ in pool.map(do, items):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
