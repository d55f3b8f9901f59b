"""On the head: give a run away. ``python -P -m automl_img.jobs.pack OUT NAME``

What a job prints is a file on its node, and the dashboard gives that away byte by byte. So the
archive is printed, between two lines that say where it begins and ends. The process then waits
until it is told to end, and leaves an empty file.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, BinaryIO

from automl_img.errors import AutomlImgError
from automl_img.runs import RAY, Run, find_run, refuse_links

BEGIN = b"automl-img archive\n"
END = b"automl-img end "
# Seconds in which the archive has to be fetched.
_PATIENCE = 6 * 3600
# Of a run: what is of use where it was searched alone.
_STAYS = (RAY, "trials")


def member_files(run: Run) -> list[Path]:
    """What is fetched of ``run``: all but checkpoints of trials, and what is half written."""
    found = []
    for path in sorted(run.path.rglob("*")):
        if path.is_file() and is_fetched(path.relative_to(run.path).as_posix()):
            found.append(path)
    return found


def is_fetched(name: str) -> bool:
    """Whether a file of a run is fetched, by its path in the run folder."""
    parts = name.split("/")
    return parts[0] not in _STAYS and not any(part.startswith(".") for part in parts)


class _Told:
    """Passes bytes on, and knows how many and which they were."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._digest.update(data)
        self._bytes += len(data)
        return len(data)

    def said(self) -> bytes:
        said = {"bytes": self._bytes, "sha256": self._digest.hexdigest()}
        return json.dumps(said).encode()


def write_archive(run: Run, stream: BinaryIO) -> None:
    """Write the archive of ``run`` with the lines around it.

    Raises:
        RunError: a link lies in the run.
    """
    refuse_links(run)
    stream.write(b"\n" + BEGIN)
    told: Any = _Told(stream)
    with (
        gzip.GzipFile(fileobj=told, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for path in member_files(run):
            archive.add(path, str(path.relative_to(run.path)), recursive=False)
    stream.write(b"\n" + END + told.said() + b"\n")
    stream.flush()


def main(words: list[str]) -> int:
    """Print the archive of the run NAME in OUT, and wait; an error is one sentence."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    out, name = words
    try:
        run = find_run(name, Path(out).expanduser())
        try:
            write_archive(run, sys.stdout.buffer)
            time.sleep(_PATIENCE)
        finally:
            # Else it would lie in the log of the head as long as that runs.
            os.ftruncate(sys.stdout.fileno(), 0)
    except (AutomlImgError, OSError) as error:
        print(f"error: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
