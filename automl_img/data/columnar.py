"""Tables in Arrow's form, in one or more files: rows with paths of images, or with their bytes.

Bytes are unpacked once into the cache, a few hundred rows at a time. Nothing of a file is run or
unpickled; class names are read from the schema, where Hugging Face keeps them as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.data.cache import built_once, check_space
from automl_img.data.listing import Columns, Listing
from automl_img.data.tables import Rows, find_columns, find_image
from automl_img.errors import DataError
from automl_img.events import Listener, Phase, Progress

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 256
_IN_A_FOLDER = 1000
_HUGGING_FACE = b"huggingface"


@dataclass(frozen=True)
class Part:
    """A file of a data set.

    Attributes:
        split: "train", "validation" or "test" where its name says so, else "".
    """

    path: Path
    split: str = ""


@dataclass(frozen=True)
class Format:
    """How files are read.

    Attributes:
        name: for what is said of them, as "Parquet file".
        schema: of a file.
        batches: its rows, some at a time, of the columns that are named.
        size: bytes of a file when it is unpacked.
    """

    name: str
    schema: Callable[[Path], pa.Schema]
    batches: Callable[[Path, Sequence[str]], Iterator[pa.RecordBatch]]
    size: Callable[[Path], int]


def list_parts(
    parts: Sequence[Part],
    form: Format,
    columns: Columns,
    cache: Path,
    name: str,
    kind: str,
    listener: Listener,
) -> Listing:
    """The images in ``parts``, which have the columns of the first.

    Raises:
        DataError: a file is damaged, or has a split that is not known.
        SettingsError: a column is missing.
    """
    first = parts[0].path
    with readable(first, form):
        schema = form.schema(first)
        header = list(schema.names)
    at = find_columns(header, columns, first)
    path, label, split, group = (None if place is None else header[place] for place in at.values())
    assert path is not None
    assert label is not None
    with readable(first, form):
        kind_of_path = schema.field(path).type
        classes = _class_names(schema, label)
    folder = None
    if _holds_bytes(kind_of_path):
        folder = _unpacked(parts, form, path, cache, listener)
    by_name = split is None and all(part.split for part in parts)
    rows = Rows(first, "split" if by_name else split, group is not None)
    named = folder is None or _is_struct(kind_of_path)
    columns_read = (path if named else None, label, split, group)
    wanted = [column for column in columns_read if column is not None]
    for number, part in enumerate(parts):
        with readable(part.path, form):
            for row, values in enumerate(_rows(form, part.path, wanted, path)):
                typed = _image_name(values.get(path), folder, part.path, row)
                if folder is None:
                    file = find_image(part.path.parent, typed)
                else:
                    file = _existing(_place(folder, number, row))
                own = part.split if by_name else _text(values.get(split or ""), ())
                whose = _text(values.get(group or ""), ())
                rows.add(typed, file, _text(values[label], classes), own, whose)
    return rows.listing(name, kind)


@contextmanager
def readable(path: Path, form: Format) -> Iterator[None]:
    """
    Raises:
        DataError: what reads the file ``path`` in the block says that it is damaged.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, LookupError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path} must be a whole {form.name}, but {first}; get it anew") from None


def _rows(form: Format, path: Path, wanted: Sequence[str], image: str) -> Iterator[dict[str, Any]]:
    for batch in form.batches(path, wanted):
        # What a damaged file says of lengths and places is not followed unseen.
        batch.validate(full=True)
        columns = {}
        for name in wanted:
            column = batch.column(name)
            if name == image and _is_struct(column.type):
                # Of the image its name alone: the bytes would fill the memory.
                names = [field.name for field in column.type]
                column = column.field(names.index("path")) if "path" in names else None
            columns[name] = [None] * batch.num_rows if column is None else column.to_pylist()
        for place in range(batch.num_rows):
            yield {name: values[place] for name, values in columns.items()}


def _unpacked(
    parts: Sequence[Part], form: Format, column: str, cache: Path, listener: Listener
) -> Path:
    """The folder with the images of all parts, each file by the number of its part and row."""
    key = hashlib.blake2b(column.encode(), digest_size=16)
    for part in parts:
        with part.path.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
        key.update(found.digest())

    def build(into: Path) -> dict[str, Any]:
        listener(Phase(f"unpacking the images of {parts[0].path.name}"))
        check_space(into, sum(form.size(part.path) for part in parts))
        for number, part in enumerate(parts):
            _write_images(into, number, part.path, form, column)
            listener(Progress(number + 1, len(parts)))
        return {"parts": len(parts)}

    folder = cache / "unpacked" / key.hexdigest()
    built_once(folder, build, listener)
    return folder


def _write_images(into: Path, number: int, path: Path, form: Format, column: str) -> None:
    row = 0
    with readable(path, form):
        for batch in form.batches(path, [column]):
            batch.validate(full=True)
            images = batch.column(column)
            if _is_struct(images.type):
                images = images.field([field.name for field in images.type].index("bytes"))
            for data in images:
                if data.is_valid and len(content := data.as_py()):
                    place = _place(into, number, row)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(content)
                row += 1


def _place(folder: Path, number: int, row: int) -> Path:
    return folder / f"{number:05d}" / f"{row // _IN_A_FOLDER:06d}" / f"{row:09d}"


def _existing(path: Path) -> str | None:
    return str(path) if path.is_file() else None


def _image_name(value: object, folder: Path | None, path: Path, row: int) -> str:
    """What the table calls an image; one of bytes without a name is called by its place."""
    name = _text(value, ())
    return name or ("" if folder is None else f"{path.name}#{row}")


def _text(value: object, classes: Sequence[str]) -> str:
    """A label or split as text; a number stands for one of ``classes`` where there are any."""
    if isinstance(value, bool):
        return str(value).lower()
    if classes and isinstance(value, int):
        return classes[value] if 0 <= value < len(classes) else ""
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """The names of a ``ClassLabel``; empty where the labels are no such."""
    try:
        told = json.loads((schema.metadata or {})[_HUGGING_FACE])
        feature = told["info"]["features"][label]
        names = feature["names"] if feature["_type"] == "ClassLabel" else ()
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _holds_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if _is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return "bytes" in fields and _holds_bytes(fields["bytes"])
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_struct(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))
