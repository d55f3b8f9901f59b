"""The portfolio: settings made by hand, by what the data are like; see ``portfolio.yaml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from automl_img.errors import SpaceError, did_you_mean
from automl_img.shipped import shipped
from automl_img.space.dimensions import Dimension
from automl_img.trials import Params, Value

# Every variant has four cuts or more, the whole of it among them.
_TRAINED_STAGES = {"head": 0, "last stage": 1, "last two stages": 2, "all": None}


@dataclass(frozen=True)
class DataFacts:
    """What the first settings of a search depend on.

    Attributes:
        images: for training, at least 1.
        classes: how many, at least 2.
        image_size: side in pixels.
        channels: 1 (grey) or 3 (RGB).
    """

    images: int
    classes: int
    image_size: int
    channels: int

    @property
    def images_per_class(self) -> int:
        """On average, rounded down: what is below 11 is at most 10."""
        return self.images // self.classes


@dataclass(frozen=True)
class Bounds:
    """At least ``low`` and at most ``high``; None is no bound."""

    low: int | None
    high: int | None

    def hold(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def _bounds(typed: Any) -> Bounds:
    """``"..999"``, ``"1000..9999"``, ``"1000.."``: inclusive; one number is both ends.

    Raises:
        ValueError: it is no such range.
    """
    if re.fullmatch(r"\d+", str(typed)):
        return Bounds(int(typed), int(typed))
    if not re.fullmatch(r"\d+\.\.\d*|\.\.\d+", str(typed)):
        raise ValueError("must be LOW..HIGH, LOW.. or ..HIGH in whole numbers")
    low, high = (int(part) if part else None for part in str(typed).split(".."))
    if low is not None and high is not None and low > high:
        raise ValueError("must be LOW..HIGH with LOW <= HIGH")
    return Bounds(low, high)


_Range = Annotated[Bounds, BeforeValidator(_bounds)]
_EVERY = Bounds(None, None)


class Conditions(BaseModel):
    """Which data an entry is for, each as ``LOW..HIGH``; all of them must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: _Range = _EVERY
    images_per_class: _Range = _EVERY
    classes: _Range = _EVERY
    image_size: _Range = _EVERY
    channels: _Range = _EVERY

    def hold(self, facts: DataFacts) -> bool:
        return all(
            getattr(self, name).hold(getattr(facts, name)) for name in type(self).model_fields
        )


class Entry(BaseModel):
    """One entry of the portfolio.

    Attributes:
        families: of networks that it is for, by the names of their files.
        train: what of pretrained networks learns; None where they learn from scratch.
        when: which data it is for.
        set: values by hyperparameter; the rest is at its default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    families: list[str] = Field(min_length=1)
    train: Literal["head", "last stage", "last two stages", "all"] | None = None
    when: Conditions = Conditions()
    set: dict[str, bool | int | float | str]

    @property
    def kind(self) -> str:
        """As ``automl_img.search.rungs.ladder_of`` calls it."""
        match self.train:
            case None:
                return "from scratch"
            case "head":
                return "frozen"
            case _:
                return "fine-tuned"

    def params(self, backbone: str, cuts: Sequence[int]) -> Params:
        """The values for ``backbone``.

        Args:
            cuts: where it may be frozen, as counts of layers from the input, the whole of it last;
                empty for a network that has no pretrained weights.
        """
        values: dict[str, Value] = {"backbone": backbone, **self.set}
        if self.train is not None and cuts:
            stages = _TRAINED_STAGES[self.train]
            values[f"{backbone}.frozen_layers"] = 0 if stages is None else cuts[-1 - stages]
        return values


def portfolio_file() -> Path:
    """The portfolio that ships."""
    return shipped("search_spaces") / "portfolio.yaml"


def read_portfolio(
    path: Path, declared: Sequence[Dimension], families: Sequence[str]
) -> list[Entry]:
    """The entries of ``path``, in their order.

    Args:
        declared: every hyperparameter there is, with its bounds.
        families: every family of networks there is.

    Raises:
        SpaceError: it cannot be read, is not YAML, or an entry has a key, a hyperparameter, a value
            or a family that there is not.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        first = " ".join(str(error).split())[:300]
        raise SpaceError(f"the portfolio {path} must be YAML, but {first}") from None
    if not isinstance(content, list):
        raise SpaceError(f"the portfolio {path} must be a list of entries")
    bounds = {dimension.name: dimension for dimension in declared}
    entries = []
    for place, item in enumerate(content, 1):
        where = f"entry {place} of the portfolio {path}"
        try:
            entry = Entry(**item)
        except (ValidationError, TypeError) as error:
            raise SpaceError(f"{where}: {_rule(error)}") from None
        _check(entry, where, bounds, families)
        entries.append(entry)
    return entries


def _check(entry: Entry, where: str, bounds: dict[str, Dimension], families: Sequence[str]) -> None:
    for family in entry.families:
        if family not in families:
            hint = did_you_mean(family, families)
            raise SpaceError(f"{where}: there is no family {family!r}{hint}")
    for name, value in entry.set.items():
        if name not in bounds:
            hint = did_you_mean(name, bounds)
            raise SpaceError(f"{where}: there is no hyperparameter {name!r}{hint}")
        if not bounds[name].contains(value):
            raise SpaceError(
                f"{where}: {name} must be in {bounds[name].describe()}, but got {value!r}"
            )


def _rule(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"it must be a mapping with the keys {', '.join(Entry.model_fields)}"
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    rule = first["msg"].removeprefix("Value error, ").lower()
    known = Conditions.model_fields if key.startswith("when.") else Entry.model_fields
    hint = did_you_mean(key.rpartition(".")[2], known) if first["type"] == "extra_forbidden" else ""
    return f"{key}: {rule}, but got {first['input']!r}{hint}"
