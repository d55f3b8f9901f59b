"""What was read of files and need not be read again while they look untouched.

One ``.npz`` file a data set, in columns: 60,000 rows load in some 50 ms, and a later run asks the
system for the state of each file instead of reading it. A file counts as untouched if its size,
both times and inode are the same. As git does, a file that was changed shortly before it was read
is not trusted, since a second change within the same tick of the clock would leave no trace.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from automl_img.data.origins import known
from automl_img.data.stream import pack, unpack
from automl_img.files import replacing

# To be raised whenever the same file would be described in another way.
FORMAT = 1
# No file system in use has coarser times.
RACY_NS = 2 * 10**9

States = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Columns = Mapping[str, npt.NDArray[Any]]

NO_STATE = (-1, 0, 0, 0)
FETCHED = (0, -1, 0, 0)


def place(cache: Path, kind: str, name: str, paths: Sequence[str]) -> Path:
    """The file of the memo of a data set: the same for each run on it, and its own.

    Args:
        cache: the root of the cache.
        kind, name: as in ``Listing``.
        paths: of its files; what they have in common counts.
    """
    root = ""
    # On Windows they may lie on two drives.
    with suppress(ValueError):
        # Of all paths, since they sort between these two.
        root = os.path.commonpath((min(paths), max(paths)))
    key = hashlib.blake2b(os.fsencode("\0".join((kind, name, root))), digest_size=16)
    return cache / "index" / f"{key.hexdigest()}.npz"


def states_of(paths: Sequence[str]) -> States:
    """How the files look now; to be taken before they are read.

    Returns:
        int64, shape (paths, 4): size in bytes, times of the last change of the content and of the
        inode in ns since 1970, and inode. ``FETCHED`` for a file that came from a URL, whose path
        is that of its content; ``NO_STATE`` for one that is not there, or changed too lately to be
        trusted.
    """
    states = np.empty((len(paths), 4), dtype=np.int64)
    newest = time.time_ns() - RACY_NS
    fetched = known(paths)
    for row, path in enumerate(paths):
        if fetched[row]:
            states[row] = FETCHED
            continue
        try:
            found = os.stat(path)
        except OSError:
            states[row] = NO_STATE
            continue
        old_enough = found.st_mtime_ns < newest and found.st_ctime_ns < newest
        # Some file systems number inodes with more than 63 bits.
        inode = found.st_ino & (2**63 - 1)
        state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode)
        states[row] = state if old_enough else NO_STATE
    return states


def recall(memory: Path, paths: Sequence[str], states: States, columns: Columns) -> Mask:
    """Fill the rows of ``columns`` that are remembered.

    Args:
        memory: from ``place``; a file that is missing, damaged or of another form knows nothing.
        paths: absolute paths.
        states: of ``paths``.
        columns: arrays with one row a path.

    Returns:
        bool, shape (paths,): which rows were filled.
    """
    known = np.zeros(len(paths), dtype=np.bool_)
    try:
        with np.load(memory, allow_pickle=False) as kept:
            if kept["format"].item() != FORMAT:
                return known
            old_paths, old_states = unpack(kept["paths"]), kept["states"]
            old = {name: kept[name] for name in columns}
        row_of = {path: row for row, path in enumerate(old_paths)}
        rows = np.array([row_of.get(path, -1) for path in paths], dtype=np.int64)
        same: Mask = (rows >= 0) & (old_states[rows] == states).all(axis=1) & (states[:, 0] >= 0)
        filled = {name: old[name][rows[same]].astype(columns[name].dtype) for name in columns}
    except Exception:
        # Whatever is wrong with it: the files are read, and it is written anew.
        return known
    for name, values in filled.items():
        columns[name][same] = values
    return same


def remember(
    memory: Path, paths: Sequence[str], states: States, columns: Columns, good: Mask
) -> None:
    """Keep the rows that are ``good`` and have a state.

    What cannot be written, as the cache is read-only or the disk full, is read again next time.

    Args:
        memory: from ``place``.
        paths: absolute paths.
        states: of ``paths``, taken before they were read.
        columns: arrays with one row a path.
        good: bool, shape (paths,).
    """
    kept = np.flatnonzero(good & (states[:, 0] >= 0))
    if not len(kept):
        return
    arrays: dict[str, Any] = {name: values[kept] for name, values in columns.items()}
    arrays["format"] = np.array(FORMAT)
    arrays["paths"] = pack([paths[row] for row in kept.tolist()])
    arrays["states"] = states[kept]
    with suppress(OSError), replacing(memory) as temporary:
        np.savez(temporary, **arrays)
