"""Data sets of tensorflow-datasets by name, as ``tfds:food101`` or ``tfds:food101:1.0.0``.

Each is written once into the cache as class folders of the files that it consists of.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl_img.data import catalogue
from automl_img.data.cache import built_once, check_space
from automl_img.data.listing import Columns, LeftOut, Listing
from automl_img.data.sources.folder import list_folder
from automl_img.errors import DataError, SettingsError
from automl_img.events import Listener, Phase, Progress

WHAT = "a name of tensorflow-datasets (tfds:food101)"
_PREFIX = "tfds:"
_NAME = re.compile(r"[A-Za-z]\w*(/[\w.-]+)?(:[\d.*]+)?", re.ASCII)
_COMMAND = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    f"from {catalogue.__name__} import main; main()"
)
# It reads files; no GPU is for it, and its notes are for nobody.
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def accepts(data: str) -> bool:
    """Whether ``data`` begins as such names do."""
    return data.startswith(_PREFIX)


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images of the data set ``data``, with the splits that it was published with.

    Raises:
        DataError: the library or the data set is missing, it has other splits, or is of no classes.
        SettingsError: a column was named, but such a data set has none.
    """
    if columns.named():
        raise SettingsError(f"{columns.named()[0]} needs a table, but {data!r} is a name")
    name = data.removeprefix(_PREFIX)
    if _NAME.fullmatch(name) is None:
        raise DataError(f"{data!r} must be as tfds:food101 or tfds:food101:1.0.0; mend it")
    # Where they are prepared there may be data sets of one's own.
    key = f"{name}\0{os.environ.get('TFDS_DATA_DIR', '')}".encode("utf-8", "surrogateescape")
    folder = cache / "tfds" / hashlib.blake2b(key, digest_size=16).hexdigest()

    def build(into: Path) -> dict[str, Any]:
        if find_spec("tensorflow_datasets") is None:
            raise DataError(
                f"{data} needs the package tensorflow-datasets, but it is not installed; run "
                "pip install 'automl-img[tfds]'"
            )
        listener(Phase(f"getting the images of {data}"))
        return _written(name, into, listener)

    meta = built_once(folder, build, listener)
    short = re.split("[:/]", name)[0]
    found = list_folder(folder / "files", short, "tensorflow_datasets")
    if count := meta["unlabelled"]:
        gone = LeftOut(f"{count:,} images of {short}", "no label in the data set")
        found = dataclasses.replace(found, left_out=(*found.left_out, gone))
    return found


def _written(name: str, into: Path, listener: Listener) -> dict[str, Any]:
    """What the program answers at its end."""
    with tempfile.TemporaryFile() as notes, _started(name, into, notes) as program:
        assert program.stdout is not None
        try:
            for line in program.stdout:
                answer = json.loads(line)
                if "meta" in answer:
                    meta: dict[str, Any] = answer["meta"]
                    return meta
                if "error" in answer:
                    raise DataError(answer["error"])
                if "bytes" in answer:
                    check_space(into, answer["bytes"])
                else:
                    listener(Progress(answer["done"], answer["total"]))
        finally:
            program.kill()
        notes.seek(max(0, notes.tell() - 10_000))
        last = notes.read().decode("utf-8", "replace").strip().splitlines()
    raise DataError(
        f"tfds:{name} must be written as files once, but that ended with "
        f"{(last or ['no word'])[-1][:200]!r}; try again"
    )


def _started(name: str, into: Path, notes: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path), name, str(into)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=notes,
        text=True,
        env={**os.environ, **_ENVIRONMENT},
    )
