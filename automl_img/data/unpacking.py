"""Bounds on what one file may unpack to, looked at while it is unpacked."""

from __future__ import annotations

from automl_img.errors import DataError

MAX_BYTES = 200 * 10**9
MAX_MEMBERS = 20_000_000
MAX_RATIO = 200
# Below this many bytes a file may be as dense as it likes: flat images compress well.
ALWAYS_FINE = 10**9


def check_bounds(name: str, total: int, packed: int, members: int = 0) -> None:
    """
    Args:
        name: of the file.
        total: bytes so far.
        packed: bytes of the file itself.

    Raises:
        DataError: it unpacks to more than any sound file.
    """
    dense = total > ALWAYS_FINE and total > MAX_RATIO * packed
    if total > MAX_BYTES or members > MAX_MEMBERS or dense:
        raise DataError(
            f"{name} must unpack to at most {MAX_BYTES / 1e9:.0f} GB, {MAX_RATIO} times "
            f"its size and {MAX_MEMBERS:,} files; unpack it yourself and give the folder as data"
        )
