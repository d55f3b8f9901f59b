"""The few statistics that the report works out itself, from counts and probabilities."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np


def wilson(correct: float, images: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion of ``images`` > 0.

    Source: E. B. Wilson, JASA 22 (1927); the closed form is in
    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval.
    """
    z = NormalDist().inv_cdf(0.975)
    share = correct / images
    spread = z * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    centre = share + z * z / (2 * images)
    below = 1 + z * z / images
    low, high = (centre - spread) / below, (centre + spread) / below
    return (0.0 if correct == 0 else low), (1.0 if correct == images else high)


def chance_of_mistakes(mistakes: int, support: int, all_mistakes: int, images: int) -> float:
    """How probable it is that a class of ``support`` images has ``mistakes`` or more, if the
    ``all_mistakes`` among ``images`` had fallen on any of them alike.

    The upper tail of a hypergeometric distribution: Fisher's exact test, one-sided (R. A. Fisher,
    JRSS 85 (1922)).
    """

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    every = log_choose(images, all_mistakes)
    most = min(support, all_mistakes)
    # Fewer are impossible where there are more mistakes than images of other classes.
    least = max(mistakes, all_mistakes - (images - support))
    return sum(
        math.exp(log_choose(support, k) + log_choose(images - support, all_mistakes - k) - every)
        for k in range(least, most + 1)
    )


def standard_error(share: float, images: int) -> float:
    """Of a proportion; never 0, because a few images that are all right prove little (+2/+4)."""
    smoothed = (share * images + 2) / (images + 4)
    return math.sqrt(smoothed * (1 - smoothed) / (images + 4))


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test, from the images that only one got right.

    Source: Q. McNemar, Psychometrika 12 (1947); a binomial test of the discordant pairs.
    """
    pairs = only_first + only_second
    if pairs == 0:
        return 1.0
    tail = sum(math.comb(pairs, i) for i in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**pairs))


def paired_difference(
    first: np.ndarray, second: np.ndarray, seed: int, resamples: int = 2000
) -> tuple[float, float, float]:
    """Difference of two accuracies on the same images and its 95 % bootstrap interval.

    Each image contributes -1, 0 or 1, so that a multinomial draw of the three counts is a
    bootstrap of the images.

    Args:
        first, second: bool, shape (images,): correct or not.
    """
    images = len(first)
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    shares = np.array([gained, lost, images - gained - lost]) / images
    drawn = np.random.default_rng(seed).multinomial(images, shares, size=resamples)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / images, [0.025, 0.975])
    return (gained - lost) / images, float(low), float(high)
