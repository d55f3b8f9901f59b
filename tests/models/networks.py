"""Small models and images for the tests of what is built."""

from __future__ import annotations

from typing import Any

import numpy as np

from automl_img.models.hypermodel import ImageClassifier, bind
from automl_img.models.hyperparameters import declared
from automl_img.models.network import ImageFacts
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import Preset, build_space
from automl_img.trials import Params

TINY = {
    "backbone": "cnn",
    "cnn.depth": "1",
    "cnn.filters": "8",
    "cnn.convolutions": "1",
    "augment.strength": "0",
}


def space_of(search: dict[str, str] | None = None, **fix: str) -> SearchSpace:
    """A space with some values as typed; ``__`` stands for a point."""
    typed = {name.replace("__", "."): value for name, value in fix.items()}
    return build_space("test", Preset(), declared(), search or {}, typed)


def params_of(**fix: str) -> Params:
    """Every active hyperparameter: as typed, else the tiny network's, else its default."""
    typed = {name.replace("__", "."): value for name, value in fix.items()}
    start = TINY if typed.get("backbone", "cnn") == "cnn" else {"augment.strength": "0"}
    return build_space("test", Preset(), declared(), {}, {**start, **typed}).nearest({})


def built(size: int = 8, channels: int = 3, classes: int = 3, **fix: str) -> Any:
    """The compiled model of ``params_of(**fix)``."""
    facts = ImageFacts(size, channels, classes, flips=True)
    return ImageClassifier(facts, seed=1).build(bind(params_of(**fix)))


def noise(count: int, size: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random uint8 images."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def floats(value: Any) -> np.ndarray:
    return np.array(value, dtype=np.float64)
