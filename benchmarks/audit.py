"""What an audit costs, and which copies it finds in CIFAR-10 and in the groceries.

- `automl-img data check` on all 60,000 images of CIFAR-10 as files, in a process of its own: the
  first time, and again. Then the same on the photos of the Grocery Store Dataset.
- The search for copies alone, by the number of images: the rows of CIFAR-10, and of sixteen times
  as many that are like them.

Barz and Denzler (https://arxiv.org/abs/1902.00423) judged by eye which test images of CIFAR-10 have
a copy among the training images, or nearly so: 286 pairs.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import frame
import numpy as np

from automl_img.data.appearance import Appearances
from automl_img.data.audit import audit
from automl_img.data.duplicates import groups_of, near_pairs
from automl_img.settings import check
from automl_img.training.peak import forget_peak, peak_bytes

GOAL = (
    "60,000 images audited in less than 2 minutes on 2 cores, and copies among sixteen times as "
    "many found in less than the time that it takes to look at a tenth of these"
)
_MOST_SECONDS = 120.0
_LOOKED_AT = 0.1
_TIMES = 16
_SHARED = frame.FOLDER.parent.parent / "shared" / "data"
Figures = dict[str, float | int | str | bool]


def main() -> None:
    short = frame.asked_short(__doc__)
    figures: Figures = {}
    with frame.workspace() as folder:
        os.environ["AUTOML_IMG_CACHE"] = str(folder / "cache")
        photos = _unpacked("cifar10", folder, 100 if short else None)
        if photos is None:
            frame.cannot_run("audit", GOAL, "cifar10.zip is not in ../shared/data")
            return
        seconds = _check("CIFAR-10", photos, figures)
        groceries = _unpacked("grocery", folder, 20 if short else None)
        if groceries is not None:
            table = groceries / "labels.csv"
            _check("groceries", table if table.exists() else groceries, figures)
        many = _copies_alone(photos, figures)
    quick = many < _LOOKED_AT * _TIMES * seconds
    frame.finish("audit", figures, GOAL, seconds < _MOST_SECONDS and quick, short)


def _unpacked(name: str, folder: Path, every: int | None) -> Path | None:
    """The images of an archive as files, or each so manieth; None where it is not here."""
    path = _SHARED / f"{name}.zip"
    if not path.exists():
        return None
    with zipfile.ZipFile(path) as archive:
        names = [member for member in archive.namelist() if not member.endswith("/")]
        tables = [member for member in names if not member.endswith(".jpg")]
        images = [member for member in names if member.endswith(".jpg")][:: every or 1]
        archive.extractall(folder, [*tables, *images])
    return folder / name


def _check(name: str, data: Path, figures: Figures) -> float:
    """Audit ``data`` by the command, twice; gives the seconds of the first time."""
    seconds = []
    # Files that were written just now are not remembered; see data/memo.py.
    time.sleep(3)
    for _ in range(2):
        began = time.perf_counter()
        command = [frame.program("automl-img"), "data", "check", str(data), "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds.append(time.perf_counter() - began)
    found: dict[str, Any] = json.loads(done.stdout)
    figures[f"{name}: images"] = int(found["images"])
    figures[f"{name}: the first time, seconds"] = round(seconds[0], 2)
    figures[f"{name}: again, seconds"] = round(seconds[1], 2)
    for finding in found["findings"]:
        figures[f"{name}: {finding['kind']}"] = str(finding["sentence"])
    return seconds[0]


def _copies_alone(photos: Path, figures: Figures) -> float:
    """Seconds of the search for copies among many images."""
    rows = audit(check({"data": str(photos)})).appearances
    seconds = 0.0
    for times in (1, 4, _TIMES):
        many = _unlike(rows, times)
        forget_peak()
        before, began = peak_bytes(), time.perf_counter()
        groups_of(len(many), near_pairs(many))
        seconds = time.perf_counter() - began
        name = f"copies among {len(many):,}"
        figures[f"{name}, seconds"] = round(seconds, 2)
        figures[f"{name}, MB beside the rows"] = round((peak_bytes() - before) / 1e6)
    figures["bytes kept an image"] = rows.dtype.itemsize
    return seconds


def _unlike(rows: Appearances, times: int) -> Appearances:
    """The rows again and again, each time with other bits of the hashes turned over, which leaves
    the distances within each time as they were."""
    many = np.tile(rows, times)
    turned = np.random.default_rng(0).integers(0, 2**64, times, dtype=np.uint64)
    many["hash"] ^= np.repeat(turned, len(rows))
    return many


if __name__ == "__main__":
    main()
