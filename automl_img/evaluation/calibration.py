"""Whether the probabilities of a classifier can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 15


def calibration(confidence: np.ndarray, correct: np.ndarray, seed: int) -> dict[str, Any]:
    """The expected calibration error, what it would be without any miscalibration, and its bins.

    The error of a perfectly calibrated classifier is not 0 but grows as images get fewer, so it is
    simulated: each prediction is right with the probability that it states.

    Source: C. Guo et al., On calibration of modern neural networks, ICML 2017,
    https://arxiv.org/abs/1706.04599; the null value: J. Vaicenavicius et al., Evaluating model
    calibration in classification, AISTATS 2019, https://arxiv.org/abs/1902.06977.

    Args:
        confidence: float in [0, 1], shape (images,): the highest probability of each image.
        correct: bool, shape (images,).
        seed: of the simulation.

    Returns:
        ``ece``; ``ece_null`` and ``ece_null_high``, mean and 95th percentile of the simulation;
        ``mean_confidence``; ``bins``, a list of {low, high, images, confidence, accuracy}.
    """
    bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    null = _null_errors(confidence, bins, seed)
    return {
        "ece": float(_errors(confidence, correct[None, :].astype(float), bins)[0]),
        "ece_null": float(null.mean()),
        "ece_null_high": float(np.quantile(null, 0.95)),
        "mean_confidence": float(confidence.mean()),
        "bins": [_bin(number, confidence, correct, bins) for number in np.unique(bins).tolist()],
    }


def _null_errors(confidence: np.ndarray, bins: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    # Row blocks keep the simulation of large test sets within a few megabytes.
    blocks = [rng.random((20, len(confidence))) < confidence for _ in range(10)]
    return np.concatenate([_errors(confidence, block.astype(float), bins) for block in blocks])


def _errors(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray) -> np.ndarray:
    gaps = correct - confidence
    sums = [np.abs(gaps[:, bins == number].sum(axis=1)) for number in range(BINS)]
    total: np.ndarray = np.sum(sums, axis=0) / len(confidence)
    return total


def _bin(
    number: int, confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray
) -> dict[str, Any]:
    inside = bins == number
    return {
        "low": number / BINS,
        "high": (number + 1) / BINS,
        "images": int(inside.sum()),
        "confidence": float(confidence[inside].mean()),
        "accuracy": float(correct[inside].mean()),
    }
