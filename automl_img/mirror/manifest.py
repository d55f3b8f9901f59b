"""What was uploaded of a run, told beside it in ``mirror.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl_img.files import write_json

# In the folder at the URL.
MANIFEST, DRIVER = "mirror.json", "driver.json"
# In the copy here.
MEMORY = ".mirror.json"
# Folders beside it, as long as a process fetches it or uploads of it.
FETCHING, UPLOADING = "fetch", "uploads"

Signature = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A file as it was uploaded.

    Attributes:
        size: in bytes.
        modified: when it was written here, in nanoseconds since 1970; times of files tell how long
            a session took that was killed.
    """

    size: int
    modified: int


@dataclass
class Manifest:
    """What is at the URL.

    Attributes:
        session: of the driver that uploaded last, a random name.
        files: by their paths in the run folder.
    """

    session: str
    files: dict[str, Entry] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        files = {name: [each.size, each.modified] for name, each in sorted(self.files.items())}
        return {"format": 1, "session": self.session, "files": files}

    @staticmethod
    def from_text(text: bytes | str | None) -> Manifest | None:
        """None where it is missing or damaged."""
        return _manifest(_parsed(text))


@dataclass
class Memory:
    """What the copy here knows of its URL.

    Attributes:
        url: of the run.
        sent: what was uploaded from it or downloaded to it.
        signatures: of the files here as they were then.
        done: whether all of it is at the URL, and no session of it runs.
    """

    url: str
    sent: Manifest
    signatures: dict[str, Signature] = field(default_factory=dict)
    done: bool = False

    def write(self, run: Path) -> None:
        """
        Raises:
            OSError: the copy cannot be written.
        """
        signatures = {name: list(each) for name, each in self.signatures.items()}
        kept = {"url": self.url, "done": self.done, "signatures": signatures}
        write_json(run / MEMORY, {**self.sent.to_json(), **kept})

    @staticmethod
    def of(run: Path) -> Memory | None:
        """That of the copy ``run``; None where it has none."""
        try:
            kept = _parsed((run / MEMORY).read_bytes())
        except OSError:
            return None
        sent = _manifest(kept)
        if sent is None or not isinstance(kept, dict):
            return None
        signatures = kept.get("signatures")
        if not isinstance(signatures, dict) or not isinstance(kept.get("url"), str):
            return None
        read = {name: tuple(each) for name, each in signatures.items() if isinstance(each, list)}
        return Memory(kept["url"], sent, read, kept.get("done") is True)


def beside(copy: Path, kind: str) -> Path:
    """A folder for what is under way; one process at a time drives a copy, and it is its own."""
    return copy.parent / f".{copy.name}.{kind}"


def _parsed(text: bytes | str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def _manifest(kept: Any) -> Manifest | None:
    try:
        files = {str(name): Entry(int(s), int(m)) for name, (s, m) in kept["files"].items()}
        times = [each.modified for each in files.values()]
        return Manifest(str(kept["session"]), files) if _are_times(times) else None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _are_times(times: list[int]) -> bool:
    """Whether a file can have them."""
    return all(0 <= each < 2**63 for each in times)
