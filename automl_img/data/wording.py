"""How many of something there are, in the words of a finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Items = Sequence[object] | npt.NDArray[np.int64]


def count(items: Items, noun: str) -> str:
    """``3 images``, ``1 class``."""
    plural = "classes" if noun == "class" else f"{noun}s"
    return f"{len(items):,} {noun if len(items) == 1 else plural}"


def are(items: Items) -> str:
    """``is`` or ``are``."""
    return "is" if len(items) == 1 else "are"


def have(items: Items) -> str:
    """``has`` or ``have``."""
    return "has" if len(items) == 1 else "have"


def them(items: Items) -> str:
    """``it`` or ``them``."""
    return "it" if len(items) == 1 else "them"
