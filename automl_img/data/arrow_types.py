"""What types of Arrow tables mean here: labels, class names, images as bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_HUGGING_FACE = b"huggingface"


def class_names(schema: pa.Schema, label: str | None) -> tuple[str, ...]:
    """The names of a ``ClassLabel``, or of a list of these; empty where the labels are no such."""
    try:
        told = json.loads((schema.metadata or {})[_HUGGING_FACE])
        feature = told["info"]["features"][label]
        # A list in older files, in newer ones an object around the feature of its items.
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        names = feature["names"] if feature["_type"] == "ClassLabel" else ()
    except (LookupError, AttributeError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def holds(kind: pa.DataType) -> str:
    """What a column of images of this type holds: "bytes", "bytes and path", both in structs as
    Hugging Face writes them, or "path"."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        if "bytes" in fields and holds(fields["bytes"]) == "bytes":
            return "bytes and path" if "path" in fields else "bytes"
    views = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    sized = pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind)
    return "bytes" if sized or any(is_kind(kind) for is_kind in views) else "path"


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of this type are texts, numbers or truths."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    return any(is_kind(kind) for is_kind in (*texts, *numbers))


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists."""
    import pyarrow as pa

    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(kind) for is_kind in kinds)


def image_bytes(column: pa.Array) -> pa.Array:
    """The bytes in a column that ``holds`` some; null for none."""
    import pyarrow as pa

    if not pa.types.is_struct(column.type):
        return column
    return column.field(column.type.get_field_index("bytes"))


def column_of(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column, or of "image.path" the field of one."""
    if name in batch.schema.names:
        return batch.column(name)
    column, _, field = name.rpartition(".")
    return batch.column(column).field(
        [each.name for each in batch.column(column).type].index(field)
    )
