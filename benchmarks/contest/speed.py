"""How fast the machine is: cells that are compared must have had the same."""

from __future__ import annotations

import time

import numpy as np

_SIDE = 1024
_ROUNDS = 30


def gigaflops() -> float:
    """Billions of floating point operations a second in a product of float32 matrices, by NumPy
    with all of its threads; the fastest of some rounds, as others only ever take time away."""
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, _SIDE, _SIDE), dtype=np.float32)
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        one @ other
        seconds.append(time.perf_counter() - began)
    return round(2 * _SIDE**3 / min(seconds) / 1e9, 1)
