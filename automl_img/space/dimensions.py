"""Dimensions of a search space: what a hyperparameter may be, and when it counts.

Bounds are inclusive everywhere.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from automl_img.errors import SpaceError, did_you_mean
from automl_img.trials import Params, Value


@dataclass(frozen=True)
class When:
    """A dimension counts only where ``parent`` is one of ``values``, or with ``negate`` is none."""

    parent: str
    values: tuple[Value, ...]
    negate: bool = False

    def holds(self, params: Params) -> bool:
        """Whether it holds; a parent that does not count itself makes it false."""
        return self.parent in params and (params[self.parent] in self.values) != self.negate

    def describe(self) -> str:
        return f"{self.parent} is {'not ' * self.negate}{' or '.join(map(text, self.values))}"


@dataclass(frozen=True)
class Float:
    """A real number in [low, high].

    Attributes:
        default: the value where nobody searches or fixes it; None leaves it out of the parameters.
        log: sample its logarithm evenly; ``low`` must be above 0.
        when: every condition must hold for the dimension to count.
    """

    name: str
    low: float
    high: float
    default: float | None
    log: bool = False
    when: tuple[When, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)

    @property
    def single(self) -> bool:
        return self.low == self.high

    def contains(self, value: Value) -> bool:
        if isinstance(value, (bool, str)):
            return False
        return math.isfinite(value) and self.low <= value <= self.high

    def nearest(self, value: Value) -> float:
        return min(max(float(value), self.low), self.high)

    def grid(self, points: int) -> tuple[Value, ...]:
        """``points`` values from low to high, evenly spaced (in logarithm where ``log``)."""
        if self.single or points == 1:
            return (self.low,)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        inner = [low + (high - low) * i / (points - 1) for i in range(1, points - 1)]
        between = (self.nearest(math.exp(step) if self.log else step) for step in inner)
        # The ends as they are: through the logarithm they would be a rounding off.
        return (self.low, *between, self.high)

    def describe(self) -> str:
        if self.single:
            return _number(self.low)
        return f"{_number(self.low)}..{_number(self.high)}{':log' if self.log else ''}"


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high], in steps from ``low``; ``log`` or ``step``, not both."""

    name: str
    low: int
    high: int
    default: int | None
    log: bool = False
    step: int = 1
    when: tuple[When, ...] = ()

    def __post_init__(self) -> None:
        _check_bounds(self)
        if self.step < 1 or (self.log and self.step != 1):
            raise SpaceError(
                f"{self.name}: step must be at least 1, and 1 with log, but got step={self.step}"
            )

    @property
    def single(self) -> bool:
        return self.high - self.low < self.step

    def contains(self, value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def nearest(self, value: Value) -> int:
        steps = round((float(value) - self.low) / self.step)
        return self.low + self.step * min(max(steps, 0), (self.high - self.low) // self.step)

    def grid(self, points: int) -> tuple[Value, ...]:
        """At most ``points`` different values, the ends included."""
        ends = Float(self.name, self.low, self.high, None, log=self.log)
        return tuple(dict.fromkeys(self.nearest(value) for value in ends.grid(points)))

    def describe(self) -> str:
        if self.single:
            return str(self.low)
        mark = ":log" if self.log else f":step={self.step}" if self.step != 1 else ""
        return f"{self.low}..{self.high}{mark}"


@dataclass(frozen=True)
class Choice:
    """One of ``options``.

    Attributes:
        files: whether the path of a file may stand in place of an option.
    """

    name: str
    options: tuple[Value, ...]
    default: Value | None
    when: tuple[When, ...] = ()
    files: bool = False

    def __post_init__(self) -> None:
        if not self.options or len(set(map(str, self.options))) < len(self.options):
            raise SpaceError(f"{self.name}: options must be one or more, all different")

    @property
    def single(self) -> bool:
        return len(self.options) == 1

    def contains(self, value: Value) -> bool:
        return any(value == option and type(value) is type(option) for option in self.options)

    def nearest(self, value: Value) -> Value:
        if self.contains(value):
            return value
        numbers = [option for option in self.options if isinstance(option, (int, float))]
        if isinstance(value, (int, float)) and len(numbers) == len(self.options):
            return min(numbers, key=lambda option: abs(option - value))
        return self.options[0]

    def grid(self, points: int) -> tuple[Value, ...]:
        """Every option, however many ``points`` were asked for."""
        return self.options

    def describe(self) -> str:
        return ", ".join(text(option) for option in self.options)


Dimension = Float | Int | Choice


@dataclass(frozen=True)
class SearchSpace:
    """Every dimension, parents before their children, and which of them are searched.

    Attributes:
        name: of the preset or file that it came from.
        dimensions: the searched ones have their range, the others a single value.
        searched: names of the searched dimensions.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    searched: frozenset[str]

    def __getitem__(self, name: str) -> Dimension:
        for dimension in self.dimensions:
            if dimension.name == name:
                return dimension
        known = [dimension.name for dimension in self.dimensions]
        raise SpaceError(f"there is no hyperparameter {name!r}{did_you_mean(name, known)}")

    def active(self, dimension: Dimension, params: Params) -> bool:
        """Whether ``dimension`` counts beside the parents in ``params``."""
        return all(condition.holds(params) for condition in dimension.when)

    def only(self, name: str, options: tuple[Value, ...]) -> SearchSpace:
        """The part of the space where ``name``, a choice, is one of ``options``."""
        kept = tuple(
            dataclasses.replace(dimension, options=options)
            if dimension.name == name and isinstance(dimension, Choice)
            else dimension
            for dimension in self.dimensions
        )
        return dataclasses.replace(self, dimensions=kept)

    def nearest(self, wanted: Params) -> Params:
        """A valid point: ``wanted`` moved into the ranges, the rest at fixed and first values."""
        params: Params = {}
        for dimension in self.dimensions:
            if self.active(dimension, params):
                start = _first(dimension) if dimension.default is None else dimension.default
                params[dimension.name] = dimension.nearest(wanted.get(dimension.name, start))
        return params

    def validate(self, params: Params) -> None:
        """Check that ``params`` has every dimension that counts, in range, and nothing else.

        Raises:
            SpaceError: names the first dimension that is missing, out of range or unknown.
        """
        active: Params = {}
        for dimension in self.dimensions:
            if not self.active(dimension, active):
                continue
            if dimension.name not in params:
                raise SpaceError(f"{dimension.name} must have a value ({dimension.describe()})")
            value = params[dimension.name]
            if not dimension.contains(value):
                raise SpaceError(
                    f"{dimension.name} must be in {dimension.describe()}, but got {value!r}"
                )
            active[dimension.name] = value
        for name in params.keys() - active.keys():
            self[name]
            raise SpaceError(f"{name} does not count beside the other values; leave it out")


def text(value: Value) -> str:
    """A value as a person types it."""
    if isinstance(value, bool):
        return str(value).lower()
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    # The shortest text that gives the same number again, as space.yaml is read back.
    return repr(float(value)).removesuffix(".0")


def _first(dimension: Dimension) -> Value:
    return dimension.options[0] if isinstance(dimension, Choice) else dimension.low


def _check_bounds(dimension: Float | Int) -> None:
    low, high = dimension.low, dimension.high
    if not low <= high:
        raise SpaceError(f"{dimension.name}: low <= high must hold, but got {low}..{high}")
    if dimension.log and low <= 0:
        raise SpaceError(f"{dimension.name}: a log range must start above 0, but got {low}..{high}")
