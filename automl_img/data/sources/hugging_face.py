"""A data set that Hugging Face's ``datasets`` saved to disk, with ``save_to_disk``.

That is a folder with Arrow files and ``state.json``, or one of such folders with
``dataset_dict.json``, one a split. The library is not needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from automl_img.data.columnar import Format, Part, list_parts
from automl_img.data.listing import SPELLINGS, Columns, Listing, typed_path
from automl_img.errors import DataError
from automl_img.events import Listener

if TYPE_CHECKING:
    import pyarrow as pa

WHAT = "a folder that Hugging Face's datasets saved with save_to_disk"
_STATE, _INFO, _DICT = "state.json", "dataset_info.json", "dataset_dict.json"


def accepts(data: str) -> bool:
    """Whether ``data`` is such a folder."""
    return is_saved(typed_path(data))


def is_saved(folder: Path) -> bool:
    """Whether Hugging Face saved a data set to ``folder``."""
    alone = all(os.path.isfile(folder / name) for name in (_STATE, _INFO))
    return alone or os.path.isfile(folder / _DICT)


def listing(data: str, columns: Columns, cache: Path, listener: Listener) -> Listing:
    """The images in the folder ``data``.

    Raises:
        DataError: a file is missing or damaged, or a split is not known.
        SettingsError: a column is missing.
    """
    folder = typed_path(data).absolute()
    parts = [part for each, split in _folders(folder) for part in _parts(each, split)]
    if not parts:
        raise DataError(f"{folder} must hold Arrow files, but has none; save the data set again")
    return list_parts(parts, FORMAT, columns, cache, folder.name, "hugging_face", listener)


def _folders(folder: Path) -> list[tuple[Path, str]]:
    """The folder of each split, with the split."""
    if not (folder / _DICT).is_file():
        return [(folder, "")]
    found = []
    for name in _list(folder / _DICT, "splits"):
        split = SPELLINGS.get(str(name).partition("_")[0].partition("-")[0].lower())
        if split is None or not _plain(name):
            raise DataError(
                f"the splits of {folder.name} must be train, validation and test, but one is "
                f"{name!r}; give one of its folders as data"
            )
        found.append((folder / name, split))
    return found


def _parts(folder: Path, split: str) -> list[Part]:
    files = [each for each in _list(folder / _STATE, "_data_files") if isinstance(each, dict)]
    names = [each.get("filename") for each in files]
    return [Part(folder / name, split) for name in names if _plain(name)]


def _plain(name: object) -> TypeGuard[str]:
    """Whether a name from a file of others stays in its folder."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _list(path: Path, key: str) -> list[Any]:
    """A list in a JSON file of the data set.

    Raises:
        DataError: the file is no JSON object with one.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON, but {error}; save the data set again") from None
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{path} must have a list {key!r}, but has none; save the data set again")
    return found


def _schema(path: Path) -> pa.Schema:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return stream.schema


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        names = stream.schema.names
        # Of a field of a column the whole column: it is mapped, not read.
        wanted = [name if name in names else name.rpartition(".")[0] for name in columns]
        for batch in stream:
            yield batch.select(list(dict.fromkeys(wanted)))


FORMAT = Format("Arrow file", _schema, _batches)
