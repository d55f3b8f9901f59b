"""Where the folders that ship beside the code are: ``search_spaces`` and ``reports``."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """The folder ``name``, in a wheel (inside the package) and in a checkout (beside it) alike.

    Raises:
        FileNotFoundError: neither place has it; the installation is damaged.
    """
    package = Path(__file__).parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the folder {name!r} that ships with automl-img is missing")
