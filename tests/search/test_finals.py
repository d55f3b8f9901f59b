from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from automl_img.budget import Budget
from automl_img.errors import SearchError
from automl_img.events import Event, Notice
from automl_img.runs import Run
from automl_img.search.finals import Repeats, Retraining
from automl_img.search.reserve import Reserve
from automl_img.search.specs import Specs
from automl_img.search.spending import Spending
from automl_img.settings import SearchSettings
from automl_img.training import checkpoint
from automl_img.trials import TrialRecord, TrialState
from tests.search.spaces import record


@dataclasses.dataclass
class Folder:
    """Stands where ``Specs`` knows the run folder."""

    model: Path
    settings: SearchSettings = dataclasses.field(default_factory=SearchSettings)

    @property
    def run(self) -> Run:
        return Run(self.model.parent)

    def retrained(self) -> bool:
        return self.model.exists()


def spending(typed: str) -> Spending:
    return Spending(Budget.parse(typed), Reserve(80, 20, 20, 0.0), lambda: 0.0)


def repeats(records: list[TrialRecord], budget: str = "30") -> tuple[Repeats, Spending]:
    spent = spending(budget)
    stage = Repeats(
        lambda: records, itertools.count(100), 0, cast(Specs, None), spent, lambda event: None
    )
    return stage, spent


def asked(stage: Repeats, spent: Spending) -> list[tuple[int | None, int]]:
    found = []
    while not stage.over:
        suggestion = stage.ask()
        assert suggestion is not None
        assert suggestion.origin == "repeat"
        spent.started()
        found.append((suggestion.repeat_of, suggestion.seed))
    return found


RECORDS = [record(number, (0.5 + number / 100,)) for number in range(6)]
LABELS = np.zeros(100, np.int64)


def test_the_best_three_are_trained_again_in_rounds_each_from_a_seed_of_its_own() -> None:
    found = asked(*repeats(RECORDS))
    assert [number for number, _ in found] == [5, 4, 3, 5, 4, 3]
    assert len({seed for _, seed in found}) == 6


@pytest.mark.parametrize(
    ("budget", "numbers"), [("4", []), ("5", []), ("10", [5, 4]), ("20", [5, 4, 5, 4])]
)
def test_a_small_budget_repeats_fewer_or_none(budget: str, numbers: list[int]) -> None:
    assert [number for number, _ in asked(*repeats(RECORDS, budget))] == numbers


def test_probes_and_trials_that_did_not_come_to_their_end_are_no_finalists() -> None:
    records = [
        record(0, (0.5,)),
        record(1, (0.6,)),
        dataclasses.replace(record(2, (0.9,)), origin="probe"),
        record(3, (0.8,), TrialState.FAILED, "diverged", error="x"),
        record(4, (0.7,), TrialState.PRUNED, "rung 1"),
        record(5, (0.7,), TrialState.PRUNED, "budget"),
    ]
    assert {number for number, _ in asked(*repeats(records))} == {0, 1}


def test_no_more_repeats_run_at_once_than_the_epochs_of_the_budget_are_for() -> None:
    long = [record(number, tuple([0.5 + number / 100] * 30)) for number in range(3)]
    stage, spent = repeats(long, "300epochs")
    for _ in range(240):
        spent.trained()
    first, second = stage.ask(), stage.ask()
    assert first is not None
    assert second is not None
    # Two of thirty epochs are all of the sixty that are left; they have not trained any yet.
    assert stage.over
    assert stage.ask() is None
    stage.ended(record(first.number, (0.5,)))
    assert not stage.over


def test_one_alone_is_compared_with_nobody() -> None:
    assert asked(*repeats(RECORDS[:1])) == []


def test_a_repeat_that_the_time_has_no_room_for_is_not_begun() -> None:
    epoch = dataclasses.replace(RECORDS[0].epochs[0], seconds=1000.0)
    long = [dataclasses.replace(trial, epochs=(epoch,)) for trial in RECORDS]
    stage, spent = repeats(long, "100s")
    assert asked(stage, spent) == []


def retraining(records: list[TrialRecord], model: Path) -> tuple[Retraining, list[Event], Any]:
    events: list[Event] = []
    begun: list[bool] = []
    stage = Retraining(
        lambda: records,
        LABELS,
        cast(Specs, Folder(model)),
        spending("10"),
        events.append,
        lambda: begun.append(True),
    )
    return stage, events, begun


def test_the_winner_is_retrained_once_however_many_workers_ask(tmp_path: Path) -> None:
    stage, _, begun = retraining(RECORDS, tmp_path / "model")
    first = stage.ask()
    assert first is not None
    assert first.number == 5
    assert not stage.over
    assert stage.ask() is None
    (tmp_path / "model").write_text("")
    stage.ended(record(5, (0.0, 0.0)))
    assert stage.over
    assert begun == [True]
    choice, winner, again = stage.result()
    assert (choice.trials[0].number, winner.number, len(again.epochs)) == (5, 5, 2)


def test_finalists_are_compared_by_what_they_predicted_for_each_validation_image(
    tmp_path: Path,
) -> None:
    pair = [dataclasses.replace(RECORDS[place], ms_per_image=ms) for place, ms in ((5, 9), (0, 1))]
    again = [
        dataclasses.replace(one, number=10 + one.number, repeat_of=one.number, origin="repeat")
        for one in pair
    ]
    for one in (records := [*pair, *again]):
        folder = Run(tmp_path).trial_folder(one.number)
        folder.mkdir(parents=True)
        wrong = 45 if one.number % 10 == 5 else 50
        checkpoint.save_validation(folder, np.eye(2)[(np.arange(100) < wrong).astype(int)])
    # Without the predictions the cheaper one would win, as 5 of 100 images say little.
    stage, _, _ = retraining(records, tmp_path / "model")
    first = stage.ask()
    assert first is not None
    assert first.number == 5


def test_where_retraining_fails_or_leaves_no_model_the_next_best_is_retrained(
    tmp_path: Path,
) -> None:
    stage, events, _ = retraining(RECORDS[:3], tmp_path / "model")
    stage.ask()
    stage.ended(record(2, (), TrialState.FAILED, "out of memory", error="too large"))
    second = stage.ask()
    assert second is not None
    assert second.number == 1
    stage.ended(record(1, (0.0,)))
    assert not stage.over
    assert len([event for event in events if isinstance(event, Notice)]) == 2
    stage.ask()
    stage.ended(record(0, (), TrialState.FAILED, "error", error="odd"))
    assert stage.over
    with pytest.raises(SearchError, match="none of 3 trials could be retrained; the last: odd"):
        stage.result()


def test_without_a_trial_there_is_nothing_to_retrain(tmp_path: Path) -> None:
    stage, _, _ = retraining([], tmp_path / "model")
    assert stage.over
    with pytest.raises(SearchError, match="before a trial ended"):
        stage.result()


@pytest.mark.parametrize(
    ("seconds", "reason", "shared", "backbone", "alone"),
    [
        (40.0, "finished", True, "cnn", True),
        (1.0, "finished", True, "cnn", False),
        (1.0, "budget", True, "resnet50", True),
        (40.0, "finished", False, "cnn", False),
        (40.0, "finished", True, "mobilenet_v2", False),
    ],
)
def test_a_long_retraining_has_the_machine_for_itself_where_that_is_faster(
    tmp_path: Path, seconds: float, reason: str, shared: bool, backbone: str, alone: bool
) -> None:
    [epoch] = RECORDS[0].epochs
    long = dataclasses.replace(RECORDS[0], epochs=(dataclasses.replace(epoch, seconds=seconds),))
    records = [dataclasses.replace(long, stop_reason=reason, params={"backbone": backbone})]
    stage = Retraining(
        lambda: records,
        LABELS,
        cast(Specs, Folder(tmp_path / "model")),
        spending("100s" if reason == "budget" else "10"),
        lambda event: None,
        shared=shared,
    )
    assert stage.alone is alone
