"""Plug-ins without a registry: a file in the folder is a plug-in, and its name is its name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def leaf_names(package: ModuleType) -> list[str]:
    """The names of the plug-in files in ``package``, sorted; private files are left out."""
    found = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in found if not module.name.startswith("_"))


def leaf(package: ModuleType, name: str) -> ModuleType:
    """Import the plug-in ``name`` of ``package``.

    Raises:
        ModuleNotFoundError: there is no such file.
    """
    return importlib.import_module(f"{package.__name__}.{name}")


def leaves(package: ModuleType) -> list[ModuleType]:
    """All plug-ins of ``package``, in the order of their names."""
    return [leaf(package, name) for name in leaf_names(package)]
