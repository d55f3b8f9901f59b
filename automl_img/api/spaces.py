"""Search spaces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.errors import SpaceError

if TYPE_CHECKING:
    from automl_img.space.dimensions import SearchSpace


@dataclass(frozen=True)
class PresetSummary:
    """A preset that ships: its name, what it is for, and how many hyperparameters it searches."""

    name: str
    description: str
    searched: int


def list_spaces() -> list[PresetSummary]:
    """The presets that ship."""
    from automl_img.space.presets import find_preset, preset_names, read_preset

    summaries = []
    for name in preset_names():
        space, preset = load_space(name), read_preset(find_preset(name))
        summaries.append(PresetSummary(name, preset.description, len(space.searched)))
    return summaries


def load_space(
    name: str, search: dict[str, str] | None = None, fix: dict[str, str] | None = None
) -> SearchSpace:
    """The space of a preset or a YAML file, with ranges and values as typed on top.

    Raises:
        SpaceError: it is not valid; the message says where.
    """
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import build_space, find_preset, read_preset

    return build_space(name, read_preset(find_preset(name)), declared(), search or {}, fix or {})


def new_space(path: str | Path) -> Path:
    """Write a commented preset to edit, which names every hyperparameter there is.

    Raises:
        SpaceError: the file exists, or cannot be written.
    """
    from automl_img.files import write_text
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import commented_preset

    target = Path(path).expanduser()
    if target.exists():
        raise SpaceError(f"{target} exists already; name a new file")
    try:
        write_text(target, commented_preset(declared(), target.name))
    except OSError as error:
        raise SpaceError(f"{target} cannot be written: {error.strerror}") from None
    return target
