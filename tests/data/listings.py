"""Small data sets of each kind on disk, and their listings."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from automl_img.data.listing import Columns, Listing, listing_of
from tests.pictures import picture


def listed(data: Path | str, cache: Path, **columns: str) -> Listing:
    return listing_of(str(data), Columns(**columns), cache)


def write_table(folder: Path, text: str, images: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(images):
        picture("red", 8, rng).save(folder / f"{number}.png")
    table = folder / "labels.csv"
    table.write_text(text, encoding="utf-8")
    return table


def zipped(folder: Path, target: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, os.path.join(inside, path.relative_to(folder)))
    return target


def tarred(folder: Path, target: Path, inside: str = ".") -> Path:
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, inside)
    return target
