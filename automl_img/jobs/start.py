"""On the head: begin what was sent. ``python -P -m automl_img.jobs.start WORDS...``

The folder that a job runs in is Ray's, which deletes it. What a run needs again when it is resumed,
as a table, is put beside the runs first.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from automl_img.files import replacing
from automl_img.jobs.job import FILES, RUNS


def main(words: list[str]) -> None:
    """Become ``automl-img WORDS``, with the paths that hold here."""
    kept = Path(RUNS).expanduser().parent / FILES
    prepared = [_durable(word, kept) for word in words]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "automl_img", *prepared])


def _durable(word: str, kept: Path) -> str:
    """``word``, or where it names a file that was sent, the path of a copy that stays."""
    if word.startswith("~/"):
        return os.path.expanduser(word)
    path = Path(word)
    if path.parts[:1] != (FILES,) or not path.is_file():
        return word
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    copy = kept / digest / path.name
    if not copy.exists():
        with replacing(copy) as temporary:
            shutil.copyfile(path, temporary)
    return str(copy.absolute())


if __name__ == "__main__":
    main(sys.argv[1:])
