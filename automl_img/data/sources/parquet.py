"""A Parquet file, or a folder of these: paths of images and labels, or the images themselves.

The splits are those of a column, else those that the files' names begin with, as Hugging Face
publishes data: ``train-00000-of-00002.parquet``.
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
_DATA = "data"
_FIRST_WORD = re.compile(r"[A-Za-z]+")


def accepts(data: str) -> bool:
    """Whether ``data`` is such a file or folder."""
    path = typed_path(data)
    return _is_parquet(path) or (os.path.isdir(path) and bool(files_in(path)))


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images in ``data``.

    Raises:
        DataError: a file is damaged, or has a split that is not known.
        SettingsError: a column is missing.
    """
    path = typed_path(data).absolute()
    files = [path] if path.is_file() else files_in(path)
    parts = [Part(file, "" if file == path else _split_of(file)) for file in files]
    return list_parts(parts, FORMAT, columns, cache, path.stem, "parquet", listener)


def files_in(folder: Path) -> list[Path]:
    """The Parquet files in ``folder``, or in ``data`` in it, where Hugging Face has them; none
    where there are other folders, of classes or images, beside them."""
    try:
        names = sorted(name for name in os.listdir(folder) if not is_hidden(name))
        if any(os.path.isdir(folder / name) for name in names if name != _DATA):
            return []
        below = sorted(os.listdir(folder / _DATA)) if _DATA in names else []
    except OSError:
        return []
    here = [folder / name for name in names if _is_parquet(folder / name)]
    return here or [path for name in below if _is_parquet(path := folder / _DATA / name)]


def _is_parquet(path: Path) -> bool:
    named = path.name.lower().endswith((".parquet", ".pq")) and not is_hidden(path.name)
    return named and os.path.isfile(path)


def _split_of(file: Path) -> str:
    """The split that the name of a file begins with, or ""."""
    word = _FIRST_WORD.match(file.name)
    return SPELLINGS.get(word[0].lower(), "") if word else ""


def _schema(path: Path) -> pa.Schema:
    from pyarrow import parquet

    return parquet.read_schema(path)


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(ROWS_AT_ONCE, columns=list(columns))


def _size(path: Path) -> int:
    from pyarrow import parquet

    facts = parquet.read_metadata(path)
    return sum(facts.row_group(at).total_byte_size for at in range(facts.num_row_groups))


FORMAT = Format("Parquet file", _schema, _batches, _size)
