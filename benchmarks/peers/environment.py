"""Environments of their own, in the cache folder, from the ``.txt`` files beside this one.

``python -m peers.environment autokeras``, in the folder of the benchmarks, makes one beforehand.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from automl_img.data.cache import cache_root

_FOLDER = Path(__file__).parent
# Last of all, so that an environment that was cut short is made anew.
_STAMP = "installed.txt"


class NotInstalled(Exception):
    """The environment cannot be had; the message is a sentence without places."""


def python_of(name: str) -> Path:
    """The Python of the environment ``name``, which is made if it is not there; minutes then.

    Raises:
        NotInstalled: the packages cannot be had.
    """
    wanted = (_FOLDER / f"{name}.txt").read_bytes()
    digest = hashlib.sha256(wanted + sys.version.encode()).hexdigest()[:12]
    folder = cache_root() / "environments" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    if not (folder / _STAMP).exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--no-input")
        _run(*pip, "install", "--quiet", "--no-deps", "-r", str(_FOLDER / f"{name}.txt"))
        (folder / _STAMP).write_bytes(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        last = (errors or done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NotInstalled(f"could not be installed: {last.removeprefix('ERROR: ')[:300]}")


if __name__ == "__main__":
    print(python_of(sys.argv[1]))
