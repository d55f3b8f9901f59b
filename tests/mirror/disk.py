"""A server that is a folder: what it holds can be looked at after each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec

from automl_img.data.filesystems import FileSystems

URL = "s3://bucket/runs/run"


class Disk(FileSystems):
    """The real code over a folder in place of a bucket.

    Attributes:
        wrote: how often each file was written or removed, by its path in the run.
        after: called after each write or removal.
        before: called before each, and may raise.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        local = fsspec.filesystem("file", auto_mkdir=True, skip_instance_cache=True)
        self._disk = fsspec.filesystem("dir", path=str(root), fs=local, skip_instance_cache=True)
        (root / "bucket").mkdir(parents=True)
        self._root = str(root)
        self.run = root / "bucket" / "runs" / "run"
        self.wrote: Counter[str] = Counter()
        self.after: Callable[[], None] = lambda: None
        self.before: Callable[[str], None] = lambda name: None

    def upload(self, source: Path, url: str) -> None:
        self._change(url, lambda: super(Disk, self).upload(source, url))

    def write(self, content: bytes, url: str) -> None:
        self._change(url, lambda: super(Disk, self).write(content, url))

    def remove(self, url: str) -> None:
        self._change(url, lambda: super(Disk, self).remove(url))

    def _change(self, url: str, do: Callable[[], None]) -> None:
        name = url.removeprefix(f"{URL}/")
        self.before(name)
        do()
        self.wrote[name] += 1
        self.after()

    def _tried(self, url: str, ask: Callable[[Any], Any], rule: str = "readable") -> Any:
        def asked(client: Any) -> Any:
            try:
                return ask(client)
            except FileNotFoundError as error:
                # A server names no file of this machine.
                if str(error.filename).startswith(self._root):
                    raise FileNotFoundError("no such key") from None
                raise

        return super()._tried(url, asked, rule)

    def _client(self, url: str) -> Any:
        return self._disk
