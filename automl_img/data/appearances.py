"""What all images look like: looked at once, and kept for later runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data import processes
from automl_img.data.appearance import APPEARANCE, Appearances
from automl_img.data.cache import built_once
from automl_img.data.worker import Pixels, appearance_job
from automl_img.errors import DataError
from automl_img.events import Listener, Phase, Progress, ignore

# To be raised whenever the same file would look otherwise.
FORMAT = 1
_ROWS = "rows.npy"
# Of one core: reading, decoding to 32 pixels and looking; then each byte of the file.
_FILE_SECONDS = 2.2e-4
_BYTE_SECONDS = 2e-8


def read_appearances(
    paths: Sequence[str], digests: Pixels, cache: Path, listener: Listener = ignore
) -> tuple[Appearances, dict[int, str]]:
    """The rows of ``paths``, from the cache or looked at now.

    Args:
        paths: absolute paths.
        digests: uint8, shape (paths, 16), of their content, which is the key.
        cache: the root of the cache.
        listener: gets the progress.

    Returns:
        ``APPEARANCE``, shape (paths,), zeros for what cannot be decoded; and by row why it cannot.

    Raises:
        DataError: the cache cannot be written or was damaged, or a file has changed since its
            digest was taken.
    """
    key = hashlib.blake2b(f"{FORMAT} ".encode(), digest_size=16)
    key.update(np.ascontiguousarray(digests).tobytes())
    folder = cache / "appearances" / key.hexdigest()

    def build(folder: Path) -> dict[str, Any]:
        listener(Phase(f"looking at {len(paths):,} images, for copies and for what is odd"))
        rows, failed = _look(paths, digests, listener)
        np.save(folder / _ROWS, rows)
        return {"failed": failed, "sizes": {_ROWS: (folder / _ROWS).stat().st_size}}

    meta = built_once(folder, build, listener)
    try:
        rows = np.load(folder / _ROWS, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the cache {folder} must be whole, but {error}; remove the folder and start again"
        ) from None
    return rows, {int(row): reason for row, reason in meta["failed"].items()}


def _look(
    paths: Sequence[str], digests: Pixels, listener: Listener
) -> tuple[Appearances, dict[int, str]]:
    rows, failed = np.zeros(len(paths), APPEARANCE), {}
    count = processes.worth(paths, _FILE_SECONDS, _BYTE_SECONDS)
    chunks = processes.chunks(len(paths), count)
    jobs = (
        appearance_job(paths[part.start : part.stop], digests[part.start : part.stop])
        for part in chunks
    )
    with closing(processes.run(jobs, count)) as results:
        for part, found in zip(chunks, results, strict=True):
            for row, item in zip(part, found, strict=True):
                if isinstance(item, str):
                    failed[row] = item
                else:
                    rows[row] = np.frombuffer(bytes.fromhex(item["row"]), APPEARANCE)[0]
            listener(Progress(part.stop, len(paths)))
    return rows, failed
