"""From a preset's YAML, and what was typed on top of it, to a search space."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from automl_img.errors import SpaceError, did_you_mean
from automl_img.shipped import shipped
from automl_img.space.assignments import fixed, narrowed, single
from automl_img.space.dimensions import Choice, Dimension, Int, SearchSpace, text

# The longest that ships has 2,000; YAML takes a second for 100,000.
_LONGEST = 100_000


class Preset(BaseModel):
    """A search space as it stands in a file.

    Attributes:
        description: one sentence: what it is for.
        search: ranges by hyperparameter, in the syntax of ``--search``, or lists of options.
        fix: values by hyperparameter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    search: dict[str, Any] = Field(default_factory=dict)
    fix: dict[str, Any] = Field(default_factory=dict)


def preset_names() -> list[str]:
    """The presets that ship, sorted."""
    files = shipped("search_spaces").glob("*.yaml")
    # The portfolio is no space: automl_img/space/portfolio.py reads it.
    return sorted(path.stem for path in files if path.stem != "portfolio")


def find_preset(name: str) -> Path:
    """The file of a preset that ships, or ``name`` itself where it is a file.

    Raises:
        SpaceError: there is neither.
    """
    known = preset_names()
    if name in known:
        return shipped("search_spaces") / f"{name}.yaml"
    if os.path.isfile(name):
        return Path(name)
    hint = did_you_mean(name, known)
    raise SpaceError(f"--space must be one of {', '.join(known)} or a file, but got {name!r}{hint}")


def read_preset(path: Path) -> Preset:
    """The preset in ``path``.

    Raises:
        SpaceError: it cannot be read, is not YAML, or has keys that a preset has not.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            words = stream.read(_LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"the space {path} cannot be read: {error}") from None
    if len(words) > _LONGEST:
        raise SpaceError(f"the space {path} must have at most {_LONGEST:,} characters")
    try:
        content = yaml.safe_load(words)
    # Values that YAML takes for dates or numbers and Python does not; brackets without end.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = " ".join(str(error).split())[:300]
        raise SpaceError(f"the space {path} must be valid YAML, but {first}") from None
    try:
        return Preset(**({} if content is None else content))
    except (ValidationError, TypeError) as error:
        raise SpaceError(_sentence(path, error)) from None


def build_space(
    name: str,
    preset: Preset,
    declared: tuple[Dimension, ...],
    search: dict[str, str],
    fix: dict[str, str],
) -> SearchSpace:
    """The space of ``preset`` with what was typed on top; the later word on a name counts.

    Args:
        declared: every hyperparameter there is, with its bounds and default, parents first.
        search: ``--search``: ranges as typed.
        fix: ``--fix``: values as typed.

    Raises:
        SpaceError: a name is unknown, a range leaves its bounds, or a name was typed that can never
            count in this space.
    """
    bounds = {dimension.name: dimension for dimension in declared}
    asked: dict[str, Dimension] = {}
    for words, read in (
        (preset.search, narrowed),
        (preset.fix, fixed),
        (search, narrowed),
        (fix, fixed),
    ):
        for key, typed in words.items():
            if key not in bounds:
                raise SpaceError(f"there is no hyperparameter {key!r}{did_you_mean(key, bounds)}")
            asked[key] = read(bounds[key], _as_typed(key, typed))
    both = sorted(search.keys() & fix.keys())
    if both:
        raise SpaceError(f"{both[0]} is both in --search and in --fix; drop one of them")
    space = _assemble(name, declared, asked)
    for key in (search | fix).keys() - {dimension.name for dimension in space.dimensions}:
        conditions = " and ".join(condition.describe() for condition in bounds[key].when)
        raise SpaceError(f"{key} counts only where {conditions}, which this space never has")
    return space


def _assemble(
    name: str, declared: tuple[Dimension, ...], asked: dict[str, Dimension]
) -> SearchSpace:
    """Every declared dimension: as asked for, else at its default, else (no default) left out."""
    dimensions: list[Dimension] = []
    for dimension in declared:
        if dimension.name in asked:
            dimensions.append(asked[dimension.name])
        elif dimension.default is not None:
            dimensions.append(single(dimension, dimension.default))
    reachable = [dimension for dimension in dimensions if _can_count(dimension, dimensions)]
    searched = frozenset(dimension.name for dimension in reachable if not dimension.single)
    return SearchSpace(name, tuple(reachable), searched)


def _can_count(dimension: Dimension, others: list[Dimension]) -> bool:
    """Whether any value of the parents lets ``dimension`` count."""
    for condition in dimension.when:
        parent = next((other for other in others if other.name == condition.parent), None)
        if parent is None or not _can_count(parent, others):
            return False
        options = parent.options if isinstance(parent, Choice) else ()
        if options and not any(condition.holds({parent.name: option}) for option in options):
            return False
    return True


def space_yaml(space: SearchSpace) -> str:
    """The space as a preset file, which gives the same space again."""
    search = {d.name: _as_yaml(d) for d in space.dimensions if d.name in space.searched}
    fix = {d.name: _as_yaml(d) for d in space.dimensions if d.name not in space.searched}
    content = {
        "description": f"the space of a run, from {space.name}",
        "search": search,
        "fix": fix,
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def commented_preset(declared: tuple[Dimension, ...], file_name: str) -> str:
    """A preset file to edit: a small search, and every other hyperparameter as a comment."""
    lines = [
        f"# automl-img search DATA --space {file_name}",
        "#",
        "# A hyperparameter under `search` varies, one under `fix` has that value, and all others",
        "# have the default that stands behind them below.",
        "# Ranges: LOW..HIGH, LOW..HIGH:log, LOW..HIGH:step=N, or a list of values.",
        "description: my own space",
        "search:",
        "  optimizer.learning_rate: 1.0e-4..1.0e-1:log",
        "  cnn.filters: 16..64",
    ]
    shown = {"optimizer.learning_rate", "cnn.filters", "backbone"}
    rest = [dimension for dimension in declared if dimension.name not in shown]
    for dimension in rest:
        only = " and ".join(condition.describe() for condition in dimension.when)
        default = (
            "as augment.strength says" if dimension.default is None else text(dimension.default)
        )
        comment = f"default {default}{f'; where {only}' if only else ''}"
        lines.append(f"  # {dimension.name}: {_range_in_yaml(dimension)}  # {comment}")
    backbones = next(dimension for dimension in declared if dimension.name == "backbone")
    lines += ["fix:", f"  backbone: cnn  # or: {backbones.describe()}"]
    return "\n".join(lines) + "\n"


def describe_space(space: SearchSpace) -> list[dict[str, Any]]:
    """The searched dimensions as ``run.json`` keeps them."""
    described = []
    for dimension in space.dimensions:
        if dimension.name not in space.searched:
            continue
        described.append(
            {
                "name": dimension.name,
                "kind": type(dimension).__name__.lower(),
                "low": None if isinstance(dimension, Choice) else dimension.low,
                "high": None if isinstance(dimension, Choice) else dimension.high,
                "log": False if isinstance(dimension, Choice) else dimension.log,
                "options": list(dimension.options) if isinstance(dimension, Choice) else None,
                "when": {c.parent: list(c.values) for c in dimension.when if not c.negate} or None,
            }
        )
    return described


def _as_yaml(dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return list(dimension.options) if len(dimension.options) > 1 else dimension.options[0]
    # Without a mark, the range would be read with the logarithm of the declared dimension.
    plain = isinstance(dimension, Int) and not dimension.log and dimension.step == 1
    return f"{dimension.describe()}:step=1" if plain else dimension.describe()


def _as_typed(name: str, content: Any) -> str:
    """A value of a YAML file in the syntax of the command line."""
    items = content if isinstance(content, list) else [content]
    if not all(isinstance(item, (bool, int, float, str)) for item in items):
        raise SpaceError(f"{name} must be a range, a value or a list of values, and nothing deeper")
    return ",".join(map(text, items))


def _sentence(path: Path, error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"the space {path} must be a mapping with the keys {', '.join(Preset.model_fields)}"
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    hint = did_you_mean(key, Preset.model_fields)
    return f"the space {path}: {key!r}: {first['msg'].lower()}{hint}"


def _range_in_yaml(dimension: Dimension) -> str:
    described = dimension.describe()
    return f"[{described}]" if isinstance(dimension, Choice) else described
