from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_img.errors import DataError
from automl_img.evaluation import ensemble
from automl_img.evaluation.ensemble import average, greedy

LABELS = np.array([0, 0, 0, 1, 1, 1])


def sure(chances: list[float]) -> np.ndarray:
    """Two classes, from the probability of the true one for each of ``LABELS``."""
    true = np.array(chances, dtype=np.float32)
    found = np.empty((len(true), 2), np.float32)
    found[np.arange(len(true)), LABELS[: len(true)]] = true
    found[np.arange(len(true)), 1 - LABELS[: len(true)]] = 1 - true
    return found


def scores(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    rows = np.arange(len(labels))
    accuracy = (probabilities.argmax(axis=1) == labels).mean()
    return float(accuracy), -float(np.log(probabilities[rows, labels].astype(float)).mean())


def test_models_that_err_on_different_images_are_combined() -> None:
    # Each is wrong, but barely, where the other is sure.
    one = sure([0.9, 0.9, 0.9, 0.9, 0.4, 0.4])
    other = sure([0.4, 0.4, 0.9, 0.9, 0.9, 0.9])
    chosen = greedy([one, other], LABELS, most=2)
    assert chosen.weights == (0.5, 0.5)
    assert chosen.members == (0, 1)
    assert chosen.score == 1.0


def test_a_model_that_only_hurts_is_left_out() -> None:
    good, bad = sure([0.9] * 6), sure([0.1] * 6)
    chosen = greedy([bad, good], LABELS, most=2)
    assert chosen.weights == (0.0, 1.0)
    assert chosen.members == (1,)
    assert chosen.score == 1.0
    assert chosen.log_loss == pytest.approx(-np.log(0.9))


def test_a_model_may_be_picked_again_to_count_more() -> None:
    # Two parts of the first and one of the second are right everywhere; half and half are not.
    first = sure([0.8, 0.8, 0.8, 0.42, 0.8, 0.8])
    second = sure([0.3, 0.3, 0.3, 0.75, 0.15, 0.8])
    assert scores((first + second) / 2, LABELS)[0] < 1
    chosen = greedy([first, second], LABELS, most=2)
    assert chosen.score == 1.0
    assert chosen.weights[0] > chosen.weights[1] > 0


def test_at_most_so_many_different_models_are_in_it() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    offered = [rng.dirichlet(np.ones(5) + 2 * np.eye(5)[k], 1)[0] for k in labels for _ in range(6)]
    models = [np.array(offered[place::6], np.float32) for place in range(6)]
    found = {most: greedy(models, labels, most) for most in (1, 2, 6)}
    assert len(found[1].members) == 1
    assert len(found[2].members) == 2
    assert len(found[6].members) > 3
    assert found[1].score < found[2].score < found[6].score


def test_the_average_that_was_chosen_has_the_accuracy_that_is_told() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 50)
    models = [rng.dirichlet(np.ones(3), 50).astype(np.float32) for _ in range(4)]
    chosen = greedy(models, labels, most=4)
    mean = average(models, chosen.weights)
    assert (mean.dtype, mean.shape) == (np.float32, (50, 3))
    accuracy, loss = scores(mean, labels)
    assert chosen.score == accuracy
    assert chosen.log_loss == pytest.approx(loss, abs=1e-5)
    assert sum(chosen.weights) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6))
def test_it_is_never_worse_than_the_best_single_and_gives_the_same_again(
    seed: int, count: int, most: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 12)
    models = [rng.dirichlet(np.ones(3), 12) for _ in range(count)]
    chosen = greedy(models, labels, most)
    best = max((scores(model, labels) for model in models), key=lambda each: (each[0], -each[1]))
    assert (chosen.score, -chosen.log_loss) >= (best[0], -best[1] - 1e-9)
    assert greedy(models, labels, most) == chosen
    assert len(chosen.members) <= most


def test_more_picks_are_never_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    # Equal parts of these two are right everywhere, two parts of one to one of the other are not.
    one = sure([0.9, 0.9, 0.9, 0.9, 0.15, 0.15])
    other = sure([0.15, 0.15, 0.9, 0.9, 0.9, 0.9])
    found = []
    for picks in (1, 2, 3, 4, 5):
        monkeypatch.setattr(ensemble, "_PICKS", picks)
        found.append(greedy([one, other], LABELS, most=2).score)
    assert found == [pytest.approx(4 / 6), 1, 1, 1, 1]


def test_among_equals_the_one_offered_first_is_taken() -> None:
    same = sure([0.8] * 6)
    assert greedy([same, same.copy(), same.copy()], LABELS, most=3).weights == (1.0, 0.0, 0.0)


def test_a_model_without_finite_probabilities_is_never_picked() -> None:
    broken = sure([0.9] * 6)
    broken[2, 0] = np.nan
    chosen = greedy([broken, sure([0.6] * 6)], LABELS, most=2)
    assert chosen.weights == (0.0, 1.0)
    with pytest.raises(DataError, match="finite, but got none"):
        greedy([broken], LABELS, most=1)


@pytest.mark.parametrize(
    "offered",
    [[], [sure([0.5] * 5)], [sure([0.5] * 6), sure([0.5] * 5)], [np.zeros(6)]],
    ids=["no model", "an image too few", "two lengths", "no classes"],
)
def test_shapes_that_do_not_fit_are_refused(offered: list[np.ndarray]) -> None:
    with pytest.raises(DataError, match="one shape"):
        greedy(offered, LABELS, most=1)
    with pytest.raises(DataError, match="one shape"):
        greedy([np.zeros((0, 2))], LABELS[:0], most=1)
