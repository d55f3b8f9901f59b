from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom

from automl_img.report.card import load_card
from automl_img.report.finalists import finalists
from automl_img.report.importance import importances
from automl_img.report.statistics import (
    chance_of_mistakes,
    mcnemar,
    paired_difference,
    wilson,
)
from automl_img.runs import Run


@pytest.mark.parametrize(("correct", "images"), [(0, 5), (5, 5), (175, 180), (1, 1000)])
def test_wilson_is_scipys(correct: int, images: int) -> None:
    known = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    assert wilson(correct, images) == pytest.approx((known.low, known.high), abs=1e-12)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 5), (1, 9), (30, 12)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(first: int, second: int) -> None:
    known = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(known)


def test_the_paired_difference_covers_the_difference() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(400) < 0.9, rng.random(400) < 0.8
    gap, low, high = paired_difference(first, second, seed=0)
    assert gap == pytest.approx(first.mean() - second.mean())
    assert low < gap < high


def test_finalists_begin_with_the_winner_which_is_equal_to_itself(golden: Run) -> None:
    found = finalists(load_card(golden))
    assert [item.winner for item in found] == [True, False, False, False, False]
    assert found[0].ahead == (0.0, 0.0, 0.0)
    assert not found[0].separable


def test_the_hyperparameter_that_decides_comes_first(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from tests.report.golden import golden_run

    run = golden_run(tmp_path_factory.mktemp("long"), trials=120, pruning=False)
    found = importances(load_card(run))
    assert found[0].name == "optimizer.learning_rate"
    assert sum(item.share for item in found) == pytest.approx(1.0)
    assert all(item.low <= item.high for item in found)


def test_few_trials_have_no_importance(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.report.golden import golden_run

    run = golden_run(tmp_path_factory.mktemp("short"), trials=10)
    assert importances(load_card(run)) == []


@pytest.mark.parametrize(
    ("mistakes", "support", "all_mistakes", "images"),
    [(2, 18, 4, 179), (30, 100, 80, 1000), (0, 5, 3, 10), (5, 5, 9, 10), (3, 20, 3, 20)],
)
def test_the_chance_of_mistakes_is_that_of_fishers_exact_test(
    mistakes: int, support: int, all_mistakes: int, images: int
) -> None:
    found = chance_of_mistakes(mistakes, support, all_mistakes, images)
    expected = hypergeom.sf(mistakes - 1, images, support, all_mistakes)
    assert found == pytest.approx(expected, rel=1e-9)
