from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from automl_img.errors import SearchError
from automl_img.evaluation.intervals import variance_of_difference
from automl_img.search.choice import choose
from automl_img.trials import Params, TrialRecord, TrialState
from tests.search.spaces import record


def trial(number: int, accuracy: float, ms: float = 1.0, of: int | None = None) -> TrialRecord:
    made = record(number, (accuracy,))
    origin = "sampler" if of is None else "repeat"
    return dataclasses.replace(made, ms_per_image=ms, repeat_of=of, origin=origin)


def test_without_repeats_the_best_single_result_wins() -> None:
    choice = choose([trial(0, 0.7), trial(1, 0.9), trial(2, 0.8)], 1000)
    assert [one.number for one in choice.trials] == [1, 2, 0]
    assert choice.scores == {}


def test_the_mean_of_the_seeds_decides_and_not_a_lucky_one() -> None:
    records = [trial(0, 0.95), trial(1, 0.93), trial(2, 0.5)]
    records += [trial(3, 0.70, of=0), trial(4, 0.92, of=1), trial(5, 0.71, of=0)]
    records += [trial(6, 0.93, of=1)]
    choice = choose(records, 10_000)
    assert [one.number for one in choice.trials] == [1, 0, 2]
    assert choice.scores[0] == (0.95, 0.70, 0.71)
    assert "mean validation accuracy of 3 seeds" in choice.reason


def test_of_two_that_cannot_be_told_apart_the_cheaper_one_wins() -> None:
    records = [trial(0, 0.91, ms=9.0), trial(1, 0.90, ms=1.0)]
    records += [trial(2, 0.91, ms=9.0, of=0), trial(3, 0.90, ms=1.0, of=1)]
    few, many = choose(records, 100), choose(records, 10**6)
    assert few.trials[0].number == 1
    assert "cannot be told apart from trial 0" in few.reason
    assert many.trials[0].number == 0


def test_two_are_told_apart_by_the_images_that_only_one_of_them_has_right() -> None:
    records = [trial(0, 0.93, ms=9.0), trial(1, 0.92, ms=1.0)]
    records += [trial(2, 0.93, ms=9.0, of=0), trial(3, 0.92, ms=1.0, of=1)]
    dearer, nested, elsewhere = np.ones((3, 1000), bool)
    dearer[:70] = False
    # The cheaper one has wrong what the dearer one has wrong, and more; or it errs elsewhere.
    nested[:80] = False
    elsewhere[-80:] = False

    def winner(cheaper: np.ndarray) -> int:
        right = {0: dearer, 1: cheaper, 2: dearer, 3: cheaper}
        # Of two classes: all images are of the second one.
        given = {number: np.eye(2)[each.astype(int)] for number, each in right.items()}

        def drawn(ones: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> float:
            sides = [[given[run.number] for run in side] for side in (ones, others)]
            return variance_of_difference("val_accuracy", np.ones(1000, int), *sides)

        return choose(records, 1000, drawn).trials[0].number

    assert winner(nested) == 0
    assert winner(elsewhere) == 1


def test_a_model_that_is_hardly_smaller_is_not_cheaper() -> None:
    records = [trial(0, 0.91), trial(1, 0.90), trial(2, 0.91, of=0), trial(3, 0.90, of=1)]
    for parameters, winner in ((99, 0), (50, 1)):
        records[1] = dataclasses.replace(records[1], parameters=parameters)
        assert choose(records, 100).trials[0].number == winner


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (TrialState.FAILED, "error"),
        (TrialState.PRUNED, "budget"),
        (TrialState.PRUNED, "interrupted"),
    ],
)
def test_a_repeat_that_did_not_come_to_its_end_does_not_count(
    state: TrialState, reason: str
) -> None:
    cut = dataclasses.replace(trial(2, 0.1, of=0), state=state, stop_reason=reason)
    choice = choose([trial(0, 0.9), trial(1, 0.8), cut, trial(3, 0.8, of=1)], 1000)
    assert choice.trials[0].number == 0


def test_the_best_does_not_lose_to_others_because_its_own_repeat_was_cut_short() -> None:
    records = [trial(0, 0.95), trial(1, 0.90), trial(2, 0.90)]
    records += [trial(3, 0.90, of=1), trial(4, 0.90, of=2)]
    cut = dataclasses.replace(trial(5, 0.5, of=0), state=TrialState.PRUNED, stop_reason="budget")
    choice = choose([*records, cut], 1000)
    assert choice.trials[0].number == 0
    assert choice.reason == "it has the best validation accuracy"


def test_what_the_search_aims_at_decides_and_not_the_accuracy() -> None:
    def aimed(number: int, accuracy: float, score: float) -> TrialRecord:
        made = trial(number, accuracy)
        return dataclasses.replace(
            made, epochs=tuple(dataclasses.replace(each, score=score) for each in made.epochs)
        )

    choice = choose([aimed(0, 0.9, 0.4), aimed(1, 0.7, 0.6)], 100, objective="val_macro_f1")
    assert choice.trials[0].number == 1
    assert choice.reason == "it has the best validation macro F1"


def test_nobody_wins_where_nobody_finished_an_epoch() -> None:
    with pytest.raises(SearchError, match="none of 1 trials finished an epoch"):
        choose([record(0, (), TrialState.FAILED, "error")], 100)


FROZEN: Params = {"backbone": "vgg16", "weights": "imagenet", "vgg16.frozen_layers": 19}
WHOLE = record(0, (0.5, 0.55, 0.6, 0.65, 0.7, 0.7))


def test_a_trial_that_the_time_cut_short_wins_where_it_was_ahead_after_as_many_epochs() -> None:
    cut = record(1, (0.5, 0.6, 0.62), TrialState.PRUNED, "budget")
    choice = choose([WHOLE, cut], 1000)
    assert [one.number for one in choice.trials] == [1, 0]
    assert "cut it off after 3 epochs, ahead of trial 0 after as many (0.620 to 0.600)" in (
        choice.reason
    )


@pytest.mark.parametrize(
    ("accuracies", "reason", "params"),
    [
        ((0.5, 0.52, 0.6), "budget", {}),
        ((0.5, 0.6, 0.62), "rung 3", {}),
        ((0.68, 0.69), "budget", {}),
        ((0.5, 0.6, 0.62), "budget", FROZEN),
        ((0.5, 0.6, 0.62), "budget", {"optimizer.warmup_epochs": 3}),
    ],
    ids=["not ahead", "stopped by a rung", "hardly begun", "of another kind", "warming up"],
)
def test_one_that_cannot_be_compared_or_was_not_ahead_does_not(
    accuracies: tuple[float, ...], reason: str, params: Params
) -> None:
    cut = record(1, accuracies, TrialState.PRUNED, reason, params=params)
    choice = choose([WHOLE, cut], 1000)
    assert [one.number for one in choice.trials] == [0, 1]
