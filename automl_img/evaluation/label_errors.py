"""Images whose label is probably wrong, told by models that did not train on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from automl_img.labels import are_sets
from automl_img.runs import Predictions

# Where models agree with fewer of the labels, most of what they suspect is their own mistake: on 81
# kinds of groceries one that was right on half of them suspected a third.
_LEAST_ACCURACY = 0.7
# More would be read by nobody.
_MOST = 200


def suspected_labels(parts: Mapping[str, list[Predictions]]) -> dict[str, Any] | None:
    """Suspected label errors, the most suspicious first, as plain values for ``label_errors.json``.

    Confident learning: an image is suspected if a model that has not seen it gives another class a
    probability that is typical of that class, and its own class one that is not.

    Source: C. Northcutt et al., Confident Learning: Estimating Uncertainty in Dataset Labels,
    JAIR 70 (2021), https://arxiv.org/abs/1911.00068, by the library cleanlab.

    Args:
        parts: what models have predicted for images that they had not trained on, by the name of
            the part; of one part all have the same images in the same order, and are averaged.

    Returns:
        ``images``: how many were looked at; ``accuracy``: the share of labels that the models agree
        with; ``suspected``: how many are, None where that share is below 0.7; ``shown``: of the
        first 200 the part, name, label, the class that is more probable, and the probability of the
        label. None where cleanlab is not installed, and where images may have several classes.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return None
    kept = {part: found for part, found in parts.items() if found}
    if any(are_sets(found[0].labels) for found in kept.values()):
        return None
    labels, shares, origins = [], [], []
    for part, found in kept.items():
        labels.append(found[0].labels)
        shares.append(np.mean([each.probabilities for each in found], axis=0))
        origins += [(part, name) for name in found[0].names]
    if not origins:
        return {"images": 0, "accuracy": None, "suspected": None, "shown": []}
    known, given = np.concatenate(labels), np.concatenate(shares).astype(np.float64)
    given /= given.sum(axis=1, keepdims=True)
    usable = np.flatnonzero(np.isfinite(given).all(axis=1))
    accuracy = float((given[usable].argmax(axis=1) == known[usable]).mean()) if len(usable) else 0.0
    if accuracy < _LEAST_ACCURACY:
        return {"images": len(origins), "accuracy": accuracy, "suspected": None, "shown": []}
    rows = usable[_ranked(find_label_issues, known[usable], given[usable])].tolist()
    return {
        "images": len(origins),
        "accuracy": accuracy,
        "suspected": len(rows),
        "shown": [
            {
                "part": origins[row][0],
                "name": origins[row][1],
                "label": int(known[row]),
                "more_probable": int(given[row].argmax()),
                "probability": float(given[row, known[row]]),
            }
            for row in rows[:_MOST]
        ],
    }


def _ranked(find: Any, labels: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Rows of suspects, the label with the lowest probability first."""
    # Its thresholds are means over the images of a class: it knows classes that have some alone.
    present = np.unique(labels)
    if len(present) < 2:
        return np.zeros(0, dtype=np.int64)
    among = given[:, present]
    among = among / np.maximum(among.sum(axis=1, keepdims=True), 1e-12)
    found: np.ndarray = find(
        np.searchsorted(present, labels),
        among,
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return found
