"""Who takes part."""

from __future__ import annotations

from automl_img.plugins import leaves
from contest import systems
from contest.task import System


def all_systems() -> dict[str, System]:
    """Every system by its name: a file of ``contest/systems`` each, or several of one library."""
    found = [system for module in leaves(systems) for system in module.SYSTEMS]
    return {system.name: system for system in found}
