"""Whether an exported model predicts what the trained one did."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from automl_img.errors import ExportError

# Rounding of float32 through another graph; any real difference is far above it.
TOLERANCE = 1e-4


def check_parity(path: Path, exported: np.ndarray, trained: np.ndarray) -> None:
    """Compare probabilities on the same images, both float32 of shape (images, classes).

    Raises:
        ExportError: they differ by more than ``TOLERANCE`` anywhere.
    """
    difference = float(np.abs(exported - trained).max(initial=0.0))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"an exported model must predict what was trained, within {TOLERANCE}, but {path.name} "
            f"differs by {difference:.2g}; it was not kept, please report this"
        )
