"""Tables in Arrow's form, in one or more files: rows with paths of images, or with their bytes.

Bytes are unpacked once into the cache, some rows at a time. Nothing of a file is run or unpickled;
class names are read from the schema, where Hugging Face keeps them as JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.data import arrow_types
from automl_img.data.arrow_types import class_names, column_of, holds, is_list, is_plain
from automl_img.data.cache import built_once, check_space
from automl_img.data.listing import Columns, Listing
from automl_img.data.rows import Rows
from automl_img.data.tables import (
    SEVERAL,
    USUAL,
    as_text,
    classes_said,
    find_columns,
    find_image,
    find_label_columns,
)
from automl_img.data.unpacking import check_bounds
from automl_img.errors import DataError
from automl_img.events import Listener, Phase, Progress

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 64
_IN_A_FOLDER = 1000
# Beside "image" and the others, whatever a class is called.
_OF_CLASS = "class {}"


@dataclass(frozen=True)
class Part:
    """A file of a data set.

    Attributes:
        split: "train", "validation" or "test" where its name says so, else "".
        folder: the URL that its paths are relative to; "" for the folder of the file.
    """

    path: Path
    split: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Format:
    """How files are read.

    Attributes:
        name: for what is said of them, as "Parquet file".
        schema: of a file.
        batches: its rows, some at a time, of the columns that are named; "image.path" is a field of
            one.
    """

    name: str
    schema: Callable[[Path], pa.Schema]
    batches: Callable[[Path, Sequence[str]], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class _Names:
    """The columns that count; None where there is none.

    Attributes:
        label: None where each class has one.
        classes: those of the classes, where each has one.
        separator: see ``automl_img.data.listing.Listing``.
        holds: see ``automl_img.data.arrow_types.holds``.
    """

    image: str
    label: str | None
    classes: tuple[str, ...]
    separator: str | None
    split: str | None
    group: str | None
    coarse: str | None
    holds: str


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
        DataError: a file is damaged or has other columns, or a split is not known.
        SettingsError: a column is missing.
    """
    schemas, names = [], None
    for part in parts:
        # Names that are no text are found as they are asked for.
        with _readable(part.path, form):
            schema = form.schema(part.path)
            names = names or _names(schema, columns, part.path)
            _check_columns(part.path, schema, names, parts[0].path)
        schemas.append(schema)
    assert names is not None
    by_name = names.split is None and any(part.split for part in parts)
    if by_name and (odd := [part.path.name for part in parts if not part.split]):
        raise DataError(
            f"names of files must begin with train, validation or test where those of others do, "
            f"but one is {odd[0]!r}; move it away, or name the splits in a column"
        )
    folder = None
    if names.holds != "path":
        folder = _unpacked(parts, form, names.image, cache, listener)
    split = "split" if by_name else names.split
    rows = Rows(parts[0].path, split, names.group is not None, names.separator, names.classes)
    for number, (part, schema) in enumerate(zip(parts, schemas, strict=True)):
        classes = class_names(schema, names.label)
        for row, values in enumerate(_rows(form, part.path, names)):
            typed = as_text(values.get("image"))
            file = None if folder is None else _existing(_place(folder, number, row))
            file = file or find_image(part.folder or part.path.parent, typed)
            rows.add(
                typed or ("" if folder is None else f"{part.path.name}#{row}"),
                file,
                _label(values, names.classes, classes, part.path),
                part.split if by_name else as_text(values.get("split")),
                as_text(values.get("group")),
                as_text(values.get("coarse"), class_names(schema, names.coarse)),
            )
    return rows.listing(name, kind, cache, listener)


@contextmanager
def _readable(path: Path, form: Format) -> Iterator[None]:
    """
    Raises:
        DataError: what reads the file ``path`` in the block says that it is damaged.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path} cannot be read: {os.strerror(error.errno)}") from None
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path} must be a whole {form.name}, but {first}; get it anew") from None


def _names(schema: pa.Schema, columns: Columns, table: Path) -> _Names:
    """The columns by their names; a column with images comes before one with their paths."""
    header = list(schema.names)
    if columns.path is None:
        holding = [name for name in header if holds(schema.field(name).type) != "path"]
        usual = [name for name in holding if name.lower() in USUAL["path"]]
        named = (usual or holding or [None])[0]
        columns = dataclasses.replace(columns, path=named)
    at = find_columns(header, columns, table)
    image, label, split, group, coarse = (
        None if at[what] is None else header[at[what] or 0] for what in at
    )
    assert image is not None
    classes = tuple(find_label_columns(header, columns, table))
    listed = label is not None and is_list(schema.field(label).type)
    listed &= columns.separator is None
    separator = SEVERAL if classes or listed else columns.separator
    kept = holds(schema.field(image).type)
    return _Names(image, label, classes, separator, split, group, coarse, kept)


def _label(values: dict[str, Any], columns: Sequence[str], names: Sequence[str], file: Path) -> str:
    """The label of a row: that of its column, or the classes whose ``columns`` say yes.

    Args:
        names: of the classes, where the labels are their numbers.
    """
    if columns:
        return classes_said(
            columns, (as_text(values[_OF_CLASS.format(name)]) for name in columns), file
        )
    return as_text(values["label"], names)


def _check_columns(path: Path, schema: pa.Schema, names: _Names, first: Path) -> None:
    others = (names.split, names.group, names.coarse)
    for name in (names.image, names.label, *others, *names.classes):
        if name is not None and schema.names.count(name) != 1:
            raise DataError(
                f"{path.name} must have one column {name!r} as {first.name} has, but its columns "
                f"are {', '.join(map(repr, schema.names[:20]))}"
            )
    if holds(schema.field(names.image).type) != names.holds:
        raise DataError(
            f"column {names.image!r} of {path.name} must hold {names.holds}, as that of "
            f"{first.name} does, but it holds {schema.field(names.image).type}"
        )
    # Lists only where those of the first file are.
    listed = names.separator == SEVERAL and not names.classes
    for name in filter(None, (names.label, *names.classes)):
        kind = schema.field(name).type
        if not is_plain(kind.value_type if listed and is_list(kind) else kind):
            raise DataError(
                f"column {name!r} of {path.name} must hold a text or a number for each image, or "
                f"a list of these, but it holds {kind}; name another with --label-column"
            )


def _batches(form: Format, path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a file; what a damaged one says of lengths and places is not followed unseen."""
    with _readable(path, form):
        batches = iter(form.batches(path, columns))
    while True:
        with _readable(path, form):
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)
        if batch is None:
            return
        yield batch


def _rows(form: Format, path: Path, names: _Names) -> Iterator[dict[str, Any]]:
    """The values of each row: "label", "split", "group", and as "image" what it is called."""
    called = {"bytes": None, "bytes and path": f"{names.image}.path", "path": names.image}
    wanted = {
        "image": called[names.holds],
        "label": names.label,
        "split": names.split,
        "group": names.group,
        "coarse": names.coarse,
        **{_OF_CLASS.format(name): name for name in names.classes},
    }
    there = {key: name for key, name in wanted.items() if name is not None}
    for batch in _batches(form, path, list(there.values())):
        with _readable(path, form):
            columns = {key: column_of(batch, name).to_pylist() for key, name in there.items()}
        for place in range(batch.num_rows):
            yield {key: values[place] for key, values in columns.items()}


def _unpacked(
    parts: Sequence[Part], form: Format, column: str, cache: Path, listener: Listener
) -> Path:
    """The folder with the images of all parts, each file by the number of its part and row."""
    key = hashlib.blake2b(column.encode("utf-8", "backslashreplace"), digest_size=16)
    for part in parts:
        with _readable(part.path, form), part.path.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
        key.update(found.digest())

    def build(into: Path) -> dict[str, Any]:
        listener(Phase(f"unpacking the images of {parts[0].path.name}"))
        for number, part in enumerate(parts):
            _write_images(into, number, part.path, form, column)
            listener(Progress(number + 1, len(parts)))
        return {"parts": len(parts)}

    folder = cache / "unpacked" / key.hexdigest()
    built_once(folder, build, listener)
    return folder


def _write_images(into: Path, number: int, path: Path, form: Format, column: str) -> None:
    row = total = 0
    for batch in _batches(form, path, [column]):
        with _readable(path, form):
            contents = arrow_types.image_bytes(batch.column(column)).to_pylist()
        size = sum(len(content or b"") for content in contents)
        total += size
        check_bounds(path.name, total, path.stat().st_size, row + len(contents))
        check_space(into, size)
        for content in contents:
            if content:
                place = _place(into, number, row)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            row += 1


def _place(folder: Path, number: int, row: int) -> Path:
    return folder / f"{number:05d}" / f"{row // _IN_A_FOLDER:06d}" / f"{row:09d}"


def _existing(path: Path) -> str | None:
    return str(path) if path.is_file() else None
