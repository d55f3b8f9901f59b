"""Ranges and values as people type them: ``1e-4..1e-1:log``, ``16..64:step=16``, ``adam,sgd``."""

from __future__ import annotations

import dataclasses
import os

from automl_img.errors import SpaceError, did_you_mean
from automl_img.space.dimensions import Choice, Dimension, Float, Int, text
from automl_img.trials import Value

SYNTAX = "write LOW..HIGH, LOW..HIGH:log, LOW..HIGH:step=N or A,B,C"


def narrowed(dimension: Dimension, typed: str) -> Dimension:
    """``dimension`` with the range that was typed, which must lie inside its own.

    A list of values makes a ``Choice`` of a number too: ``batch_size=32,64``.

    Raises:
        SpaceError: it cannot be read, or leaves the bounds of ``dimension``.
    """
    # The path of a file may have two points in it too.
    if ".." not in typed or isinstance(dimension, Choice):
        return _choice(dimension, [part.strip() for part in typed.split(",") if part.strip()])
    span, _, mark = typed.partition(":")
    low, high = (value(dimension, part.strip()) for part in span.split("..", 1))
    log, step = _mark(dimension, mark, typed)
    name, start, when = dimension.name, dimension.default, dimension.when
    if low == high:
        return single(dimension, low)
    if isinstance(dimension, Float):
        real = Float(name, float(low), float(high), None, log, when)
        return real if start is None else dataclasses.replace(real, default=real.nearest(start))
    whole = Int(name, int(low), int(high), None, log, step, when)
    if whole.single:
        return single(dimension, low)
    return whole if start is None else dataclasses.replace(whole, default=whole.nearest(start))


def fixed(dimension: Dimension, typed: str) -> Dimension:
    """``dimension`` with the single value that was typed.

    Raises:
        SpaceError: it cannot be read, or is out of bounds.
    """
    return single(dimension, value(dimension, typed.strip()))


def single(dimension: Dimension, only: Value) -> Choice:
    """``dimension`` with ``only`` as its single value."""
    return Choice(dimension.name, (only,), only, dimension.when)


def value(dimension: Dimension, typed: str) -> Value:
    """The value that was typed, in the type and the bounds of ``dimension``.

    Raises:
        SpaceError: it cannot be read, or is out of bounds.
    """
    if isinstance(dimension, Choice):
        return _option(dimension, typed)
    try:
        number = float(typed)
    except ValueError:
        raise SpaceError(
            f"{dimension.name} must be a number, but got {typed!r}; {SYNTAX}"
        ) from None
    if isinstance(dimension, Int) and number.is_integer():
        number = int(number)
    if not dimension.contains(number):
        kind = "a whole number" if isinstance(dimension, Int) else "a number"
        raise SpaceError(
            f"{dimension.name} must be {kind} in {dimension.describe()}, but got {typed!r}"
        )
    return number


def _option(dimension: Choice, typed: str) -> Value:
    for option in dimension.options:
        if typed == text(option) or (
            isinstance(option, bool) and typed.lower() == str(option).lower()
        ):
            return option
    if dimension.files and os.path.isfile(os.path.expanduser(typed)):
        return os.path.abspath(os.path.expanduser(typed))
    hint = did_you_mean(typed, map(text, dimension.options))
    or_file = " or an existing file" if dimension.files else ""
    raise SpaceError(
        f"{dimension.name} must be one of {dimension.describe()}{or_file}, but got {typed!r}{hint}"
    )


def _choice(dimension: Dimension, parts: list[str]) -> Choice:
    if not parts:
        raise SpaceError(f"{dimension.name} needs a range or values; {SYNTAX}")
    options = tuple(dict.fromkeys(value(dimension, part) for part in parts))
    default = dimension.default if dimension.default in options else options[0]
    return Choice(dimension.name, options, default, dimension.when)


def _mark(dimension: Float | Int, mark: str, typed: str) -> tuple[bool, int]:
    """(log, step) of the part behind the colon; without one, those of the dimension itself."""
    if not mark:
        return dimension.log, getattr(dimension, "step", 1)
    if mark == "log":
        return True, 1
    name, _, number = mark.partition("=")
    if name == "step" and isinstance(dimension, Int) and number.isdecimal() and int(number) >= 1:
        return False, int(number)
    raise SpaceError(f"{dimension.name}: cannot read {typed!r}; {SYNTAX}")
