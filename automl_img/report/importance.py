"""Which hyperparameters mattered, by PED-ANOVA, with an interval from resampled trials."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_img.report.card import Card, reached
from automl_img.report.facts import Dimension

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FEWEST_TRIALS = 15
RESAMPLES = 40


@dataclass(frozen=True)
class Importance:
    """Share of one hyperparameter in all importance, 0 to 1, with its 80 % bootstrap interval."""

    name: str
    share: float
    low: float
    high: float


def importances(card: Card, seed: int = 0) -> list[Importance]:
    """Importance of the searched hyperparameters, highest first; empty when nothing is to be told.

    Stopped trials count with the best that they reached: among survivors alone the ranking can turn
    over, because what makes a trial bad was stopped with it.

    Source: S. Watanabe et al., PED-ANOVA, IJCAI 2023, https://arxiv.org/abs/2304.10255.
    """
    trials = _frozen_trials(card)
    names = sorted({name for trial in trials for name in trial.params})
    if len(trials) < FEWEST_TRIALS or len(names) < 2:
        return []
    shares = _shares(trials, names)
    if shares is None:
        return []
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(trials), len(trials))
        again = _shares([trials[int(row)] for row in rows], names)
        if again is not None:
            drawn.append(again)
    low, high = np.quantile(np.array(drawn or [shares]), [0.1, 0.9], axis=0)
    found = [
        Importance(name, float(shares[i]), float(low[i]), float(high[i]))
        for i, name in enumerate(names)
    ]
    return sorted(found, key=lambda item: (-item.share, item.name))


def _shares(trials: list[FrozenTrial], names: list[str]) -> np.ndarray | None:
    import optuna

    # A new study is announced on the log each time; nobody asked for these.
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(verbosity)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(
        target_quantile=max(0.1, 5 / len(trials))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.add_trials(trials)
        values = evaluator.evaluate(study)
    raw = np.array([values.get(name, 0.0) for name in names])
    total = raw.sum()
    return raw / total if np.isfinite(total) and total > 0 else None


def _frozen_trials(card: Card) -> list[FrozenTrial]:
    """All usable trials as complete Optuna trials with the values that their ranges hold."""
    from optuna.trial import TrialState, create_trial

    trials = []
    for trial in card.usable:
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        for dimension in card.search.dimensions:
            value = trial.params.get(dimension.name)
            distribution = _distribution(dimension)
            place = dimension.position(value)
            if distribution is not None and place is not None and 0 <= place <= 1:
                params[dimension.name] = value
                distributions[dimension.name] = distribution
        trials.append(
            create_trial(
                state=TrialState.COMPLETE,
                value=reached(trial),
                params=params,
                distributions=distributions,
            )
        )
    return trials


def _distribution(dimension: Dimension) -> BaseDistribution | None:
    from optuna import distributions

    if dimension.options:
        return distributions.CategoricalDistribution(dimension.options)
    if not dimension.numeric or dimension.low == dimension.high:
        return None
    low, high = float(dimension.low or 0), float(dimension.high or 0)
    if dimension.kind == "int":
        return distributions.IntDistribution(int(low), int(high), log=dimension.log)
    return distributions.FloatDistribution(low, high, log=dimension.log)
