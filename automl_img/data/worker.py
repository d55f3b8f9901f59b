"""What a background process does: jobs on image files, one after the other.

A job is a dictionary, one line of JSON on stdin; the answer is one line of JSON on stdout, and
after it the pixels, where the job asks for them. No line is ever unpickled. The process ends at the
end of stdin, so it cannot outlive the one that started it, however that ended. Only what decoding
needs is imported: a process starts in 0.12 s.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from automl_img.data.appearance import SIDE, appearance_of
from automl_img.data.decode import decode, digest_of, inspect, quiet, read
from automl_img.data.origins import is_kept, read_ahead
from automl_img.errors import DataError, Unreachable

Job = dict[str, Any]
# Gives the bytes of a file, or raises.
Content = Callable[[], bytes]
Pixels = npt.NDArray[np.uint8]


def inspect_job(paths: Sequence[str]) -> Job:
    """Read files for their headers; the result is one item a file.

    An item is the dictionary of a ``Header``, its digest in hex; or a string, the reason why the
    file is no image.
    """
    return {"do": "inspect", "paths": list(paths)}


def appearance_job(paths: Sequence[str], digests: Pixels) -> Job:
    """Look at files; the result is one item a file.

    An item is a dictionary with its "row" of ``automl_img.data.appearance``, in hex; or a string,
    the reason why the file cannot be decoded.

    Args:
        paths: absolute paths.
        digests: uint8, shape (paths, 16), that the content must have.
    """
    return {
        "do": "look",
        "paths": list(paths),
        "digests": [digest.tobytes().hex() for digest in digests],
    }


def decode_job(
    paths: Sequence[str],
    digests: Pixels,
    size: int,
    channels: int,
    *,
    into: Path | None = None,
    offset: int = 0,
    send: bool = False,
) -> Job:
    """Decode files; the result has an item [place in ``paths``, reason] for each that failed.

    The pixels of what failed are zeros.

    Args:
        paths: absolute paths.
        digests: uint8, shape (paths, 16), that the content must have.
        size: side in pixels.
        channels: 1 or 3.
        into: a file that is there, to write the pixels to; None writes none.
        offset: in bytes, of the first pixel in that file.
        send: whether the pixels come after the answer, uint8 (paths, size, size, channels).
    """
    return {
        "do": "decode",
        "paths": list(paths),
        "digests": [digest.tobytes().hex() for digest in digests],
        "form": [size, size, channels],
        "into": None if into is None else str(into),
        "offset": offset,
        "send": send,
    }


def do(job: Job) -> tuple[Any, Pixels | None]:
    """The result of ``job``, and the pixels where it asks for them.

    Raises:
        DataError: a file has changed since its digest was taken.
        OSError: the pixels cannot be written.
    """
    contents = _contents(job["paths"])
    with quiet():
        if job["do"] == "inspect":
            return [_inspect(content) for _, content in contents], None
        if job["do"] == "look":
            return list(map(_look, contents, job["digests"])), None
        pixels, failed = _decode(contents, job["digests"], job["form"])
    if job["into"] is not None:
        # Written and not mapped, as a full disk kills the process that writes to a map.
        with open(job["into"], "r+b") as stream:
            stream.seek(job["offset"])
            stream.write(pixels.data)
    return failed, pixels if job["send"] else None


def main() -> None:
    """Answer jobs until stdin ends."""
    answers = sys.stdout.buffer
    # What a library prints must not get between the answers.
    sys.stdout = sys.stderr
    for line in sys.stdin.buffer:
        answer, pixels = _answer(json.loads(line))
        try:
            answers.write(json.dumps(answer).encode() + b"\n")
            if pixels is not None:
                answers.write(pixels.data)
            answers.flush()
        except BrokenPipeError:
            # Nobody listens any more. What is left in the buffer must not be tried again.
            os._exit(0)


def _answer(job: Job) -> tuple[Job, Pixels | None]:
    try:
        result, pixels = do(job)
    except DataError as error:
        return {"data_error": str(error)}, None
    except OSError as error:
        return {"os_error": [error.errno, error.strerror or str(error)]}, None
    return {"result": result}, pixels


def _contents(paths: list[str]) -> Iterator[tuple[str, Content]]:
    if not any(is_kept(path) for path in paths):
        return ((path, partial(read, path)) for path in paths)
    return read_ahead(paths, read)


def _inspect(content: Content) -> Job | str:
    try:
        header = asdict(inspect(content()))
    except Unreachable:
        raise
    except DataError as error:
        return str(error)
    return {**header, "digest": header["digest"].hex()}


def _look(item: tuple[str, Content], digest: str) -> Job | str:
    data = _read_again(*item, digest)
    try:
        return {"row": appearance_of(decode(data, SIDE, 3)).tobytes().hex()}
    except DataError as error:
        return str(error)


def _decode(
    contents: Iterable[tuple[str, Content]], digests: list[str], form: list[int]
) -> tuple[Pixels, list[tuple[int, str]]]:
    pixels = np.zeros((len(digests), *form), dtype=np.uint8)
    failed = []
    for place, (item, digest) in enumerate(zip(contents, digests, strict=True)):
        data = _read_again(*item, digest)
        try:
            pixels[place] = decode(data, form[0], form[2])
        except DataError as error:
            failed.append((place, str(error)))
    return pixels, failed


def _read_again(path: str, content: Content, digest: str) -> bytes:
    try:
        data = content()
    except Unreachable:
        raise
    except DataError as error:
        raise DataError(f"{path} was there a moment ago, but {error}; start again") from None
    if digest_of(data).hex() != digest:
        raise DataError(f"{path} must not change while it is read, but it did; start again")
    return data
