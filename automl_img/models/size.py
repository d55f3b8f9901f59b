"""How large a backbone is, told without building it: neither Keras nor a backend is imported."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Of a backbone.

    Attributes:
        parameters: of all of it.
        learnt: of what is not frozen.
        values: that the layers which are not frozen give for one image, all added up.
    """

    parameters: int
    learnt: int
    values: int
