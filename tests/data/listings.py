"""Small data sets of each kind on disk, and their listings."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa

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


def rows_of(photos: Path, content: bool = False) -> list[dict[str, object]]:
    """A row for each image in class folders: its path from the folder above, or its content as
    Hugging Face has it; and its class."""
    found: list[dict[str, object]] = []
    for path in sorted(photos.rglob("*.png")):
        name = str(path.relative_to(photos.parent))
        image: object = {"bytes": path.read_bytes(), "path": path.name} if content else name
        found.append({"image": image, "label": path.parent.name})
    return found


def class_labels(rows: list[dict[str, object]]) -> pa.Table:
    """``rows`` with labels by number, whose names the schema has, as ``datasets`` writes them."""
    names = sorted({str(row["label"]) for row in rows})
    numbered = [{**row, "label": names.index(str(row["label"]))} for row in rows]
    features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    told = json.dumps({"info": {"features": features}})
    return pa.Table.from_pylist(numbered).replace_schema_metadata({"huggingface": told})


def saved(photos: Path, folder: Path, split: str | None = None) -> Path:
    """The images of class folders as ``Dataset.save_to_disk`` writes them."""
    folder.mkdir(parents=True)
    table = class_labels(rows_of(photos, content=True))
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=4)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder
