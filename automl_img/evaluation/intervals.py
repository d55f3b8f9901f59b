"""Intervals around scores, all 95 %."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl_img.metrics import macro_f1, macro_recall, resampled_scores, right

LEVEL = 0.95
# Of a bootstrap: a minute for scores that rank all of them anew.
_PROBABILITIES = 200_000_000


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


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """The percentile interval of bootstrap draws, shape (resamples,)."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def variance_of_difference(
    objective: str,
    labels: np.ndarray,
    ones: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    resamples: int = 200,
) -> float | None:
    """Variance, over the images drawn anew, of the difference of two mean scores.

    It is paired, as all predict the same images. Of the accuracy it is that of the images' own
    differences; of other scores a bootstrap over the images, with a fixed seed, None where that
    would take minutes.

    Args:
        objective: see ``automl_img.metrics.score``.
        labels: see ``automl_img.labels``, two images at the least.
        ones, others: predictions of the models of each side, float, shape (images, classes) each.
        resamples: of the bootstrap.
    """
    if objective == "val_accuracy":
        first, second = (_share_right(labels, side) for side in (ones, others))
        return float(np.var(first - second, ddof=1)) / len(labels)
    drawn = resampled_scores(objective, [*ones, *others], labels, resamples, _PROBABILITIES)
    if drawn is None:
        return None
    differences = drawn[:, : len(ones)].mean(axis=1) - drawn[:, len(ones) :].mean(axis=1)
    return float(np.var(differences, ddof=1))


def _share_right(labels: np.ndarray, predictions: Sequence[np.ndarray]) -> np.ndarray:
    """For each image the share of the models that have it right."""
    share: np.ndarray = np.mean([right(each, labels) for each in predictions], axis=0)
    return share


def _summed(drawn: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    resamples = len(drawn)
    slots = np.arange(resamples)[:, None] * groups + group[None, :]
    flat = np.bincount(slots.ravel(), weights=drawn.ravel(), minlength=resamples * groups)
    return flat.reshape(resamples, groups)
