"""Copies of runs that nobody has used for long: what is at their URLs is fetched again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from automl_img.data.cache import cache_root
from automl_img.mirror.address import FOLDER, FOR_READING
from automl_img.mirror.download import FETCHED
from automl_img.mirror.manifest import MEMORY, Memory
from automl_img.mirror.snapshot import changed_since

# Seconds.
_UNUSED = 30 * 24 * 3600.0


def forget_unused() -> None:
    """Delete copies that were not used for 30 days, but none that has what its URL lacks."""
    for folder in (cache_root() / FOLDER).glob("*"):
        for copy in (folder / FOR_READING).glob("*"):
            if _is_old(copy / FETCHED):
                shutil.rmtree(copy, ignore_errors=True)
        for copy in folder.glob("[!.]*"):
            if _is_old(copy / MEMORY) and _is_uploaded(copy):
                shutil.rmtree(copy, ignore_errors=True)


def _is_old(file: Path) -> bool:
    try:
        return time.time() - file.stat().st_mtime > _UNUSED
    except OSError:
        return False


def _is_uploaded(copy: Path) -> bool:
    memory = Memory.of(copy)
    return memory is not None and memory.done and not changed_since(copy, memory.signatures)
