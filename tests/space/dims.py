"""A few hyperparameters of each kind, and random ones for the properties."""

from __future__ import annotations

from hypothesis import strategies as st

from automl_img.space.dimensions import Choice, Dimension, Float, Int, SearchSpace, When
from automl_img.space.presets import Preset, build_space
from automl_img.trials import Value

RATE = Float("rate", 1e-6, 1.0, default=3e-3, log=True)
DROPOUT = Float("dropout", 0.0, 0.9, default=0.1)
FILTERS = Int("filters", 8, 128, default=32, log=True)
DEPTH = Int("depth", 1, 5, default=3)
NORMALIZE = Choice("normalize", (True, False), default=True)
OPTIMIZER = Choice("optimizer", ("adam", "sgd"), default="adam")
WEIGHTS = Choice("weights", ("imagenet", "none"), default="imagenet", files=True)
BLUR = Float("blur", 0.0, 1.0, default=None)
MOMENTUM = Float("momentum", 0.0, 0.99, default=0.9, when=(When("optimizer", ("sgd",)),))
DECAY = Float("decay", 0.0, 0.5, default=0.01, when=(When("optimizer", ("sgd",), negate=True),))
NESTED = Choice(
    "nesterov", (True, False), default=True, when=(When("momentum", (0.0,), negate=True),)
)
ALL: tuple[Dimension, ...] = (
    RATE,
    DROPOUT,
    FILTERS,
    DEPTH,
    NORMALIZE,
    OPTIMIZER,
    WEIGHTS,
    BLUR,
    MOMENTUM,
    DECAY,
    NESTED,
)


def built(
    search: dict[str, str] | None = None,
    fix: dict[str, str] | None = None,
    preset: Preset | None = None,
) -> SearchSpace:
    """The space of ``ALL`` with a preset and what was typed on top."""
    return build_space("test", preset or Preset(), ALL, search or {}, fix or {})


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low = draw(st.floats(1e-9 if log else -1e6, 1e6))
    high = draw(st.floats(low, 1e7))
    return Float("x", low, high, default=None, log=log)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    high = low + draw(st.integers(0, 5000))
    return Int("x", low, high, None, log=log, step=1 if log else draw(st.integers(1, 300)))


choices = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=5, unique=True).map(
    lambda options: Choice("x", tuple(options), default=None)
)
numbers: st.SearchStrategy[Value] = st.integers(-(10**7), 10**7) | st.floats(-1e8, 1e8)
