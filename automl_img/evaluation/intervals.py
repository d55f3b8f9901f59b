"""Intervals around scores, all 95 %."""

from __future__ import annotations

import numpy as np

LEVEL = 0.95


def wilson(correct: int, images: int) -> tuple[float, float] | None:
    """The Wilson interval of a proportion; None without images.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference,
    JASA 22 (1927).
    """
    from scipy.stats import binomtest

    if images == 0:
        return None
    found = binomtest(correct, images).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def resampled_macro(confusion: np.ndarray, seed: int, resamples: int = 400) -> np.ndarray:
    """Balanced accuracy and macro F1 of resampled test sets, shape (resamples, 2).

    Both depend on the images only through the confusion matrix, so that one multinomial draw of
    its cells is exactly one bootstrap draw of the images, at the cost of the cells in use.

    Args:
        confusion: int, shape (classes, classes), true by predicted, with at least one image.
        seed: of the draws.
        resamples: number of draws.
    """
    true, predicted = np.nonzero(confusion)
    counts = confusion[true, predicted]
    images = int(counts.sum())
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(images, counts / images, size=resamples)
    classes = len(confusion)
    support = _summed(drawn, true, classes)
    claimed = _summed(drawn, predicted, classes)
    hits = _summed(drawn * (true == predicted), true, classes)
    return np.column_stack([macro_recall(hits, support), macro_f1(hits, support, claimed)])


def macro_recall(hits: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have images; shapes (..., classes) to (...)."""
    return _mean_present(_ratio(hits, support), support)


def macro_f1(hits: np.ndarray, support: np.ndarray, claimed: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that have images; shapes (..., classes) to (...)."""
    return _mean_present(_ratio(2 * hits, support + claimed), support)


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """The percentile interval of bootstrap draws, shape (resamples,)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _summed(drawn: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    resamples = len(drawn)
    slots = np.arange(resamples)[:, None] * groups + group[None, :]
    flat = np.bincount(slots.ravel(), weights=drawn.ravel(), minlength=resamples * groups)
    return flat.reshape(resamples, groups)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    zeros = np.zeros(np.shape(above))
    shares: np.ndarray = np.divide(above, below, out=zeros, where=np.asarray(below) > 0)
    return shares


def _mean_present(values: np.ndarray, support: np.ndarray) -> np.ndarray:
    present = support > 0
    total: np.ndarray = (values * present).sum(axis=-1) / present.sum(axis=-1)
    return total
