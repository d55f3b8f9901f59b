"""Scores at the level of coarser classes, for ``test.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from automl_img.data.classes import natural
from automl_img.evaluation.scores import score


def score_coarse(
    labels: np.ndarray, probabilities: np.ndarray, coarse: Sequence[str]
) -> dict[str, Any]:
    """The scores of the coarser classes: see ``automl_img.evaluation.scores.score``.

    A coarser class is as probable as its classes together. Two more: ``coarse_of_class``, the place
    of the coarser class of each class; and ``within``, the share of the images with a wrong class
    whose class is of the right coarser one, None where none is wrong.

    Args:
        labels: int64 (images,), of the classes.
        probabilities: float (images, classes).
        coarse: the coarser class of each class.
    """
    names = sorted(set(coarse), key=natural)
    place = np.array([names.index(name) for name in coarse])
    known = np.asarray(probabilities, dtype=np.float64)
    together = np.zeros((len(known), len(names)))
    for label, own in enumerate(place):
        together[:, own] += known[:, label]
    predicted = np.where(np.isnan(known), -np.inf, known).argmax(axis=1)
    wrong = predicted != labels
    related = place[predicted[wrong]] == place[labels[wrong]]
    return {
        **score(place[labels], together, names),
        "coarse_of_class": place.tolist(),
        "within": float(related.mean()) if wrong.any() else None,
    }
