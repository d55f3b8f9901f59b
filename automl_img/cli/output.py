"""Where every word of the command line goes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

# What the user asked for goes to stdout, everything said meanwhile to stderr.
# A table that is piped is read by programs, so its columns are never cut.
data = Console(highlight=False, width=None if sys.stdout.isatty() else 400)
talk = Console(stderr=True, highlight=False)


def plain(text: str) -> str:
    """``text`` that the terminal and rich print as it is: names of files and classes are neither
    markup nor commands to the terminal."""
    return escape(_printable(text))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def say(text: str) -> None:
    """One line of result."""
    data.print(plain(text), soft_wrap=True)


def say_row(*cells: str) -> None:
    """One line of result with tabs between its cells, which rich would make spaces."""
    sys.stdout.write("\t".join(map(_printable, cells)) + "\n")


def note(text: str) -> None:
    """One line about what is going on."""
    talk.print(plain(text), style="dim", soft_wrap=True)


def fail(text: str) -> None:
    """One sentence about what went wrong."""
    talk.print(f"[red]error:[/] {plain(text)}", soft_wrap=True)


def write_json(value: Any) -> None:
    """``value`` as JSON, for programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block only our own words reach stderr.

    TensorFlow and Ray write to the file descriptor itself, through the middle of a live panel. What
    they write goes to a file that stays where the process dies of it, and only then.
    """
    if os.environ.get("AUTOML_IMG_DEBUG"):
        yield
        return
    sys.stderr.flush()
    screen = os.dup(2)
    handle, path = tempfile.mkstemp(prefix="automl-img-", suffix=".log")
    os.dup2(handle, 2)
    os.close(handle)
    with os.fdopen(screen, "w", encoding="utf-8", errors="backslashreplace") as ours:
        talk.file = ours
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(ours.fileno(), 2)
            talk.file = sys.stderr
            os.unlink(path)
