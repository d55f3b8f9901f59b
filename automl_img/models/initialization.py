"""New initial weights for a model that is there already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

SEED_STATE = "seed_generator_state"


def initialize(model: Any, seed: int) -> None:
    """Draw every weight of ``model`` anew, by the initializer that its layer was made with.

    The values follow from ``seed`` and the order of the layers alone, whatever was trained or drawn
    before. A weight whose layer names no initializer (a scale that starts at a constant) stays.
    """
    for place, (variable, initializer) in enumerate(_initialized(model)):
        config = initializer.get_config()
        if "seed" in config:
            initializer = type(initializer).from_config({**config, "seed": _number(seed, place)})
        variable.assign(initializer(variable.shape, dtype=variable.dtype))


def without_initializer(model: Any) -> list[Any]:
    """The weights of ``model`` that ``initialize`` leaves as they are."""
    known = {id(variable) for variable, _ in _initialized(model)}
    return [variable for variable in model.weights if id(variable) not in known]


def reseed(variables: list[Any], seed: int) -> None:
    """Start every generator of random numbers among ``variables`` (dropout, augmentation) anew."""
    states = [variable for variable in variables if variable.name == SEED_STATE]
    for place, state in enumerate(states):
        state.assign(np.array([_number(seed + 1, place), 0], dtype="uint32"))


def _initialized(model: Any) -> Iterator[tuple[Any, Any]]:
    for layer in _innermost(model):
        for variable in layer.weights:
            initializer = _initializer_of(layer, variable.name)
            if initializer is not None:
                yield variable, initializer


def _innermost(layer: Any) -> Iterator[Any]:
    """The layers that hold weights themselves, in their order."""
    if hasattr(layer, "layers"):
        for inner in layer.layers:
            yield from _innermost(inner)
    else:
        yield layer


def _initializer_of(layer: Any, weight: str) -> Any:
    """``kernel_initializer`` for a kernel; depthwise layers name theirs after the operation."""
    depthwise = "depthwise" if weight == "kernel" else weight.removesuffix("_kernel")
    for name in (weight, depthwise):
        if callable(found := getattr(layer, f"{name}_initializer", None)):
            return found
    return None


def _number(seed: int, place: int) -> int:
    """A seed of its own for each place, in the 31 bits that every backend takes."""
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0] & 0x7FFFFFFF)
