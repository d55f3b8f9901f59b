from __future__ import annotations

import dataclasses
import math

import pytest

from automl_img.budget import Budget
from automl_img.search.reserve import Reserve, seconds_alone
from automl_img.search.spending import Spending
from automl_img.trials import EpochResult, Params, TrialState
from tests.search.spaces import record


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def spending(typed: str, reserve: Reserve | None = None) -> tuple[Spending, Clock]:
    clock = Clock()
    return Spending(Budget.parse(typed), reserve or Reserve(80, 20, 100, 0.01), clock), clock


def epoch(number: int, accuracy: float, seconds: float) -> EpochResult:
    return EpochResult(number, 1.0, 0.5, 1.0, accuracy, seconds, 0.01)


@pytest.mark.parametrize(
    ("trials", "repeats"),
    [(1, 0), (4, 0), (9, 0), (10, 2), (15, 2), (25, 4), (30, 6), (500, 6)],
)
def test_a_fifth_of_the_trials_is_kept_for_the_finalists(trials: int, repeats: int) -> None:
    spent, _ = spending(str(trials))
    assert spent.repeats == repeats
    started = 0
    while spent.allows("search"):
        spent.started()
        started += 1
    assert started == trials - repeats
    while spent.allows("finalists"):
        spent.started()
        started += 1
    assert started == trials
    assert not spent.used_up("search")


def test_epochs_end_the_search_at_four_fifths() -> None:
    spent, _ = spending("10epochs")
    for _ in range(7):
        spent.trained()
    assert not spent.used_up("search")
    spent.trained()
    assert spent.used_up("search")
    assert spent.allows("finalists", epochs=2)
    assert not spent.allows("finalists", epochs=3)


def test_what_the_end_will_take_is_kept_back_and_grows_with_the_best_trial() -> None:
    reserve = Reserve(80, 20, 100, 0.01)
    spent, clock = spending("100s", reserve)
    clock.now = 85
    assert not spent.used_up("search")
    for number in range(1, 6):
        reserve.heard(0, epoch(number, 0.5 + number / 100, 4.0), 1.0)
    # Retraining takes 20 s times 100 / 80 images.
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 25)
    assert spent.used_up("search")
    assert spent.used_up("finalists")
    assert not spent.used_up("retraining")


def test_a_trial_that_may_win_counts_and_a_hopeless_one_does_not() -> None:
    reserve = Reserve(100, 0, 0, 0.0)
    for number, (accuracy, seconds) in enumerate([(0.90, 2.0), (0.89, 5.0), (0.30, 50.0)]):
        reserve.heard(number, epoch(1, accuracy, seconds), None)
        reserve.ended(record(number, (accuracy,)))
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 5.0)


def test_one_on_its_way_counts_once_it_is_the_best() -> None:
    reserve = Reserve(100, 0, 0, 0.0, max_epochs=10)
    reserve.heard(0, epoch(1, 0.90, 2.0), None)
    reserve.ended(record(0, (0.90,)))
    frozen: Params = {"backbone": "vgg16", "weights": "imagenet", "vgg16.frozen_layers": 19}
    reserve.heard(1, epoch(1, 0.89, 5.0), None, frozen)
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 2.0)
    reserve.heard(1, epoch(2, 0.91, 5.0), None, frozen)
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 8 * 5.0)


def test_the_test_images_are_predicted_with_all_cores() -> None:
    one, two = (Reserve(100, 0, 10_000, 0.0, shares=shares) for shares in (1, 2))
    for reserve in (one, two):
        reserve.heard(0, epoch(1, 0.9, 1.0), ms_per_image=1.0)
    # Two threads take 0.62 of the ten seconds of one.
    assert one.after_retraining() - two.after_retraining() == pytest.approx(1.15 * 4.0, abs=0.3)


def test_a_large_backbone_takes_longer_to_export_than_a_small_one() -> None:
    small, large = Reserve(100, 0, 0, 0.0), Reserve(100, 0, 0, 0.0)
    small.heard(0, epoch(1, 0.9, 1.0), None, {"backbone": "cnn"})
    large.heard(0, epoch(1, 0.9, 1.0), None, {"backbone": "resnet50"})
    assert large.after_retraining() > small.after_retraining() + 5
    several = Reserve(100, 0, 0, 0.0, members=3)
    several.heard(0, epoch(1, 0.9, 1.0), None, {"backbone": "resnet50"})
    assert several.after_retraining() > large.after_retraining() + 3 * 5


def test_only_epochs_up_to_the_best_are_trained_again() -> None:
    reserve = Reserve(100, 0, 0, 0.0)
    for number, accuracy in ((1, 0.5), (2, 0.9), (3, 0.8), (4, 0.8)):
        reserve.heard(0, epoch(number, accuracy, 1.0), None)
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 2.0)


def test_time_for_repeats_is_kept_only_where_two_fit() -> None:
    reserve = Reserve(100, 0, 0, 0.0)
    reserve.heard(0, epoch(1, 0.9, 10.0), None)
    assert reserve.repeats(6, 100.0) == pytest.approx(1.15 * 60)
    assert reserve.repeats(6, 50.0) == 50.0
    assert reserve.repeats(6, 20.0) == 0.0
    assert reserve.repeats(1, 100.0) == 0.0


def test_a_deadline_is_known_for_a_budget_of_time_alone() -> None:
    assert spending("5")[0].deadline("search") is None
    assert spending("5epochs")[0].deadline("search") is None
    of_search, of_end = (spending("100s")[0].deadline(part) for part in ("search", "retraining"))
    assert of_search is not None
    assert of_end is not None
    assert of_search <= of_end


@pytest.mark.parametrize(("typed", "most"), [("20", 4), ("3", 1), ("500epochs", 10)])
def test_probes_have_room_in_a_fifth_of_the_budget(typed: str, most: int) -> None:
    assert spending(typed)[0].trials_in(0.2, 10) == most


def test_how_many_probes_fit_a_time_is_not_known_before() -> None:
    assert spending("100s")[0].trials_in(0.2, 10) is None


def test_a_trial_that_is_not_at_its_end_is_expected_to_go_on_to_that() -> None:
    reserve = Reserve(100, 0, 0, 0.0, max_epochs=10)
    reserve.heard(0, epoch(1, 0.5, 2.0), None)
    reserve.heard(0, epoch(2, 0.6, 2.0), None)
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 8 * 2.0)
    reserve.ended(record(0, (0.5, 0.6)))
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 4.0)


def test_one_that_is_ahead_of_the_best_after_as_many_epochs_may_win_too() -> None:
    reserve = Reserve(100, 0, 0, 0.0, max_epochs=10)
    for number, accuracy in ((1, 0.5), (2, 0.6), (3, 0.65), (4, 0.9)):
        reserve.heard(0, epoch(number, accuracy, 1.0), None)
    reserve.ended(record(0, (0.5, 0.6, 0.65, 0.9)))
    # The first epoch, which traces a graph, tells nothing of the others, and one alone nothing of
    # the trial.
    reserve.heard(1, epoch(1, 0.8, 20.0), None)
    reserve.heard(1, epoch(2, 0.8, 5.0), None)
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 4.0)
    reserve.heard(1, epoch(3, 0.81, 5.0), None)
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 7 * 5.0)
    reserve.ended(record(1, (0.8, 0.8, 0.81), TrialState.PRUNED, "rung 3"))
    assert reserve.retraining(math.inf) == pytest.approx(1.15 * 4.0)


def test_what_is_kept_back_follows_each_epoch_and_each_end() -> None:
    reserve = Reserve(100, 0, 0, 0.0, max_epochs=10)
    kept = [reserve.retraining(math.inf)]
    for number in (1, 2):
        reserve.heard(0, epoch(number, number / 10, 1.0 + number), None)
        kept.append(reserve.retraining(math.inf))
    reserve.ended(record(0, (0.1, 0.2)))
    kept.append(reserve.retraining(math.inf))
    # To the end of its schedule; once it has ended, up to its best epoch.
    assert kept == pytest.approx([0.0, 1.15 * 9 * 2.0, 1.15 * 8 * 3.0, 1.15 * 5.0])


def test_no_more_than_half_of_the_time_is_kept_for_the_retraining() -> None:
    reserve = Reserve(100, 0, 0, 0.0, max_epochs=100)
    spent, clock = spending("100s", reserve)
    # Two repeats of it do not fit into their fifth.
    reserve.heard(0, epoch(1, 0.5, 15.0), None)
    clock.now = 41
    assert not spent.used_up("search")
    clock.now = 42
    assert spent.used_up("search")


def test_a_long_retraining_on_all_cores_is_faster_and_a_short_one_stays_where_it_is() -> None:
    assert seconds_alone(20.0, 2) == 20.0
    assert seconds_alone(100.0, 1) == 100.0
    assert 60.0 < seconds_alone(100.0, 2) < 80.0


def test_what_breaks_a_limit_is_free_as_often_as_the_budget_has_trials() -> None:
    spent, _ = spending("3")
    tried = 0
    while spent.allows("search"):
        spent.started()
        spent.infeasible()
        tried += 1
    assert tried == 6
    of_epochs, _ = spending("5epochs")
    for _ in range(4):
        of_epochs.infeasible()
    assert of_epochs.used_up("search")


def test_a_winner_that_had_several_shares_gains_nothing_from_the_whole_machine() -> None:
    one, four = (Reserve(100, 0, 0, 0.0, shares=4, threads=2) for _ in range(2))
    one.heard(0, epoch(1, 0.9, 1000.0), None, None, 2)
    four.heard(0, epoch(1, 0.9, 1000.0), None, None, 8)
    assert one.retraining(10**6) == pytest.approx(1.15 * (12 + 1000 / 4**0.7))
    assert four.retraining(10**6) == pytest.approx(1.15 * (12 + 1000))
    restored = Reserve(100, 0, 0, 0.0, shares=4, threads=2)
    known = dataclasses.replace(record(0, (0.9,)), threads=8)
    restored.restore([dataclasses.replace(known, epochs=(epoch(1, 0.9, 1000.0),))])
    assert restored.retraining(10**6) == four.retraining(10**6)
