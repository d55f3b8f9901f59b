"""A Parquet file, or a folder of these: paths of images and labels, or the images themselves.

The splits are those of a column, else those that the names of files or folders say, as Hugging Face
publishes data: ``train-00000-of-00002.parquet``, ``train/0000.parquet``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.data.columnar import ROWS_AT_ONCE, Format, Part, list_parts
from automl_img.data.listing import SPELLINGS, Columns, Listing, is_hidden, typed_path
from automl_img.events import Listener

if TYPE_CHECKING:
    import pyarrow as pa

WHAT = "a Parquet file or a folder of these, with paths or images and labels"
_FIRST_WORD = re.compile(r"[A-Za-z]+")


def accepts(data: str) -> bool:
    """Whether ``data`` is such a file or folder."""
    path = typed_path(data)
    return _is_parquet(path) or (os.path.isdir(path) and bool(parts_in(path)))


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images in ``data``.

    Raises:
        DataError: a file is damaged or has other columns, or a split is not known.
        SettingsError: a column is missing.
    """
    path = typed_path(data).absolute()
    parts = [Part(path)] if path.is_file() else parts_in(path)
    return list_parts(parts, FORMAT, columns, cache, path.stem, "parquet", listener)


def parts_in(folder: Path) -> list[Part]:
    """The Parquet files in ``folder``, in its only folder, or in its folders of splits; none where
    there are other folders, of classes or images."""
    try:
        names = sorted(name for name in os.listdir(folder) if not is_hidden(name))
        below = [folder / name for name in names if os.path.isdir(folder / name)]
        if len(below) == 1:
            names += [f"{below[0].name}/{name}" for name in sorted(os.listdir(below[0]))]
        elif below:
            if not all(path.name.lower() in SPELLINGS for path in below):
                return []
            names = [f"{path.name}/{name}" for path in below for name in sorted(os.listdir(path))]
    except OSError:
        return []
    files = [folder / name for name in names if _is_parquet(folder / name)]
    return [Part(path, _split_of(path, folder)) for path in files]


def _is_parquet(path: Path) -> bool:
    named = path.name.lower().endswith((".parquet", ".pq")) and not is_hidden(path.name)
    return named and os.path.isfile(path)


def _split_of(file: Path, root: Path) -> str:
    """The split that the name of a file begins with, or that its folder has; or ""."""
    word = _FIRST_WORD.match(file.name)
    named = SPELLINGS.get(word[0].lower(), "") if word else ""
    return named or ("" if file.parent == root else SPELLINGS.get(file.parent.name.lower(), ""))


def _schema(path: Path) -> pa.Schema:
    from pyarrow import parquet

    return parquet.read_schema(path)


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=True) as file:
        yield from file.iter_batches(ROWS_AT_ONCE, columns=list(columns))


FORMAT = Format("Parquet file", _schema, _batches)
