"""Which counts as a run goes on: what is at its URL, or the copy that this machine has of it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from automl_img.data.filesystems import FileSystems
from automl_img.data.urls import shown
from automl_img.errors import RunError
from automl_img.events import Listener, Notice
from automl_img.mirror.download import fetch_run, files_at, manifest_at, small_file
from automl_img.mirror.manifest import FETCHING, UPLOADING, Manifest, Memory, beside
from automl_img.mirror.snapshot import changed_since
from automl_img.runs import Run

_LARGEST_INFO = 100_000_000


def remembered(copy: Run) -> Memory | None:
    """What the copy knows of its URL; None where it knows nothing."""
    found = Memory.of(copy.path)
    return found if found is not None and found.url == copy.url else None


def settle(server: FileSystems, copy: Run, session: str, listener: Listener) -> Memory:
    """Make the copy of a run the newest one that there is.

    Args:
        copy: which need not exist; where it has to make room, what was not uploaded of it is kept
            beside it.
        session: that drives the run now.

    Returns:
        What the copy knows to be at its URL.

    Raises:
        RunError: there is no such run, or it cannot be fetched.
        DataError: the URL cannot be read.
    """
    url = str(copy.url)
    here = (copy.path / "run.json").is_file()
    told, memory = manifest_at(server, url), remembered(copy)
    _sweep(copy.path)
    if not here:
        shutil.rmtree(copy.path, ignore_errors=True)
        fetch_run(server, url, copy.path, listener)
    elif _others_went_on(told, memory) and _is_newer_there(server, copy):
        _make_room(copy, memory, listener)
        fetch_run(server, url, copy.path, listener)
    elif told is None or memory is None or told.session != memory.sent.session:
        # Whatever others have begun to upload is uploaded anew.
        return Memory(url, Manifest(session))
    found = remembered(copy)
    return Memory(url, Manifest(session)) if found is None else _checked(found, server)


def _others_went_on(told: Manifest | None, memory: Memory | None) -> bool:
    if told is None or memory is None:
        return True
    return told.session != memory.sent.session and told.files != memory.sent.files


def _is_newer_there(server: FileSystems, copy: Run) -> bool:
    content = small_file(server, f"{copy.url}/run.json", _LARGEST_INFO)
    try:
        there = _sessions(json.loads(content or b"{}"))
    except (ValueError, RecursionError):
        return False
    try:
        return there > _sessions(copy.info)
    except RunError:
        return True


def _sessions(info: Any) -> tuple[int, float]:
    """How many there were, as clocks may differ, and when the last one began."""
    sessions = info.get("sessions") if isinstance(info, dict) else None
    if not isinstance(sessions, list) or not sessions:
        return 0, 0.0
    last = sessions[-1]
    began = last[0] if isinstance(last, list) and last else 0.0
    return len(sessions), float(began) if isinstance(began, (int, float)) else 0.0


def _make_room(copy: Run, memory: Memory | None, listener: Listener) -> None:
    if memory is not None and not changed_since(copy.path, memory.signatures):
        shutil.rmtree(copy.path)
        return
    kept = copy.path.with_name(f"{copy.name}.kept-{time.strftime('%Y%m%d-%H%M%S')}")
    copy.path.rename(kept)
    listener(
        Notice(
            f"another machine went on with {shown(str(copy.url))}, so what is there counts; what "
            f"this machine had trained since and not uploaded is kept in {kept}"
        )
    )


def _checked(memory: Memory, server: FileSystems) -> Memory:
    """What is not at the URL as it was sent is sent again."""
    there = files_at(server, memory.url)
    sizes = {name: file.size for name, file in there.items()}
    sent = memory.sent.files
    whole = {name for name, entry in sent.items() if sizes.get(name, -1) in (entry.size, None)}
    files = {name: entry for name, entry in sent.items() if name in whole}
    signatures = {name: each for name, each in memory.signatures.items() if name in whole}
    return Memory(memory.url, Manifest(memory.sent.session, files), signatures)


def _sweep(copy: Path) -> None:
    """Delete what downloads and uploads of killed processes have left."""
    for kind in (FETCHING, UPLOADING):
        shutil.rmtree(beside(copy, kind), ignore_errors=True)
