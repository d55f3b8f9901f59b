"""What the files say of themselves, in columns: read once, and remembered from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from automl_img.data import memo, processes
from automl_img.data.decode import DIGEST_BYTES
from automl_img.data.worker import inspect_job
from automl_img.events import Listener, Progress

# Of reading on one core: opening, parsing and hashing a small file; hashing a byte.
_FILE_SECONDS = 6e-5
_BYTE_SECONDS = 2e-9


@dataclass(frozen=True)
class Headers:
    """One row a file, zeros where it is no image.

    Attributes:
        widths, heights: int32, shape (files,), pixels, as the image is meant to be looked at.
        grey: bool, shape (files,).
        digests: uint8, shape (files, 16), of the content.
        reasons: by row, why a file is no image.
    """

    widths: npt.NDArray[np.int32]
    heights: npt.NDArray[np.int32]
    grey: npt.NDArray[np.bool_]
    digests: npt.NDArray[np.uint8]
    reasons: dict[int, str]

    @classmethod
    def empty(cls, count: int) -> Headers:
        """Rows to be filled."""
        return cls(
            np.zeros(count, np.int32),
            np.zeros(count, np.int32),
            np.zeros(count, np.bool_),
            np.zeros((count, DIGEST_BYTES), np.uint8),
            {},
        )

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """The arrays by name."""
        return {
            "widths": self.widths,
            "heights": self.heights,
            "grey": self.grey,
            "digests": self.digests,
        }


def read_headers(paths: Sequence[str], memory: Path | None, listener: Listener) -> Headers:
    """Read what is not remembered of ``paths``, and remember it.

    Args:
        paths: absolute paths.
        memory: the file of the memo, see ``memo``; None remembers nothing.
        listener: gets the progress over the files that are read.
    """
    headers = Headers.empty(len(paths))
    states, known = None, np.zeros(len(paths), np.bool_)
    if memory is not None:
        # Taken before the files are read: what changes meanwhile has another state next time.
        states = memo.states_of(paths)
        known = memo.recall(memory, paths, states, headers.columns())
    unknown = np.flatnonzero(~known)
    _read(paths, unknown, headers, listener)
    # Reasons are not kept: they are few, and a network that failed may be well again.
    good = np.ones(len(paths), np.bool_)
    good[list(headers.reasons)] = False
    if memory is not None and states is not None and bool((good & ~known).any()):
        memo.remember(memory, paths, states, headers.columns(), good)
    return headers


def _read(
    paths: Sequence[str], rows: npt.NDArray[np.int64], headers: Headers, listener: Listener
) -> None:
    wanted = [paths[row] for row in rows.tolist()]
    count = processes.worth(wanted, _FILE_SECONDS, _BYTE_SECONDS)
    chunks = processes.chunks(len(wanted), count, most=256)
    jobs = (inspect_job(wanted[part.start : part.stop]) for part in chunks)
    with closing(processes.run(jobs, count)) as results:
        for part, found in zip(chunks, results, strict=True):
            for row, header in zip(rows[part.start : part.stop].tolist(), found, strict=True):
                if isinstance(header, str):
                    headers.reasons[row] = header
                    continue
                headers.widths[row], headers.heights[row] = header["width"], header["height"]
                headers.grey[row] = header["grey"]
                headers.digests[row] = np.frombuffer(bytes.fromhex(header["digest"]), np.uint8)
            listener(Progress(part.stop, len(wanted)))
