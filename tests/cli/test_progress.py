from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from automl_img.budget import Budget
from automl_img.cli.listeners import best_line, brief, listening, time_line, trials_line
from automl_img.cli.progress import SearchProgress, duration
from automl_img.events import (
    EpochEnded,
    Event,
    Notice,
    Phase,
    Progress,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from automl_img.trials import Params, TrialState
from tests.search.spaces import epoch, record

PARAMS: Params = {
    "backbone": "cnn",
    "cnn.depth": 3,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.003,
    "batch_size": 64,
}


def a_search() -> list[Event]:
    """Two trials of four ended: one complete after 6 epochs, one stopped after 2; one runs."""
    pruned = record(1, (0.3, 0.4), TrialState.PRUNED, "rung 2", params=PARAMS)
    return [
        Phase("reading"),
        SearchStarted(Budget(4, "trials"), max_epochs=6, workers=1),
        TrialStarted(0, PARAMS),
        *(EpochEnded(0, epoch(number, 0.5 + number / 100)) for number in range(1, 7)),
        TrialEnded(record(0, (0.5,) * 6, params=PARAMS)),
        TrialStarted(1, PARAMS),
        EpochEnded(1, epoch(1, 0.3)),
        EpochEnded(1, epoch(2, 0.4)),
        TrialEnded(pruned),
        TrialStarted(2, PARAMS),
    ]


def heard(events: list[Event], seconds_each: float = 0.0) -> SearchProgress:
    now = [0.0]
    progress = SearchProgress(clock=lambda: now[0])
    for event in events:
        now[0] += seconds_each
        progress.hear(event)
    return progress


def test_trials_and_epochs_are_counted_by_how_they_ended() -> None:
    progress = heard(a_search())
    assert (progress.complete, progress.stopped, progress.failed) == (1, 1, 0)
    assert list(progress.running) == [2]
    assert (progress.epochs_run, progress.epochs_saved) == (8, 4)
    assert "2 of 4 trials: 1 complete, 1 stopped early, 0 failed, 1 running" in trials_line(
        progress
    )


def test_a_failed_trial_is_counted_and_saves_no_epochs() -> None:
    failed = record(0, (0.1,), TrialState.FAILED, "diverged", error="x")
    progress = heard(
        [SearchStarted(Budget(4, "trials"), 6, 1), TrialStarted(0, PARAMS), TrialEnded(failed)]
    )
    assert (progress.failed, progress.epochs_saved) == (1, 0)


def test_the_graphs_that_trials_traced_are_added_up_where_trials_told() -> None:
    assert "graphs" not in time_line(heard(a_search()))
    told = [
        TrialEnded(dataclasses.replace(event.record, graphs_traced=2))
        if isinstance(event, TrialEnded)
        else event
        for event in a_search()
    ]
    assert "8 epochs run, 4 saved, 4 graphs traced;" in time_line(heard(told))


def test_the_best_so_far_is_shown_with_its_parameters() -> None:
    line = best_line(heard(a_search()))
    assert "0.560 by trial 0 at epoch 6" in line
    assert "depth 3, adam, rate 0.003, batch 64" in line


def test_the_rest_is_estimated_from_the_trials_that_ended() -> None:
    assert heard(a_search()[:5]).rest is None
    progress = heard(a_search(), seconds_each=1.0)
    # 12 events of a second each after the first trial started, two trials ended, two are left.
    assert progress.rest == pytest.approx(12.0)
    assert "about 12 s of search left" in time_line(progress)


def with_budget(budget: Budget) -> list[Event]:
    return [
        SearchStarted(budget, 6, 1) if isinstance(event, SearchStarted) else event
        for event in a_search()
    ]


def test_with_a_budget_of_time_the_rest_is_what_is_left_of_it() -> None:
    progress = heard(with_budget(Budget(60, "seconds")), seconds_each=1.0)
    assert progress.rest == pytest.approx(60 - 15)
    assert progress.share == pytest.approx(15 / 60)
    assert trials_line(progress).startswith("2 trials in a budget of 1 min: 1 complete")


def test_with_a_budget_of_epochs_the_rest_follows_from_those_that_were_run() -> None:
    progress = heard(with_budget(Budget(32, "epochs")), seconds_each=1.0)
    # 8 epochs in 12 seconds, 24 are left.
    assert progress.rest == pytest.approx(36.0)
    assert progress.share == pytest.approx(0.25)


def test_a_probe_saves_no_epochs() -> None:
    probe = dataclasses.replace(record(0, (0.5,) * 2, params=PARAMS), origin="probe")
    progress = heard([SearchStarted(Budget(4, "trials"), 6, 1), TrialEnded(probe)])
    assert (progress.complete, progress.epochs_saved) == (1, 0)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (59, "59 s"), (185, "3:05"), (3723, "1:02:03")]
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_without_a_terminal_each_trial_is_one_plain_line() -> None:
    out = io.StringIO()
    with listening(Console(file=out, width=80)) as listener:
        for event in [*a_search(), Notice("[red]odd[/] name"), Progress(3, 4)]:
            listener(event)
    lines = out.getvalue().splitlines()
    assert len([line for line in lines if "trial 0 finished: 0.500 after 6 epochs" in line]) == 1
    assert len([line for line in lines if "trial 1 rung 2: 0.400 after 2 epochs" in line]) == 1
    assert any("note: [red]odd[/] name" in line for line in lines)
    assert "\x1b" not in out.getvalue()


def test_in_a_terminal_there_is_one_panel_with_the_counts() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, highlight=False)
    with listening(console) as listener:
        for event in [*a_search(), Notice("[red]odd[/] name")]:
            listener(event)
    assert "2 of 4 trials" in out.getvalue()
    assert "[red]odd[/] name" in out.getvalue()


def test_a_brief_line_names_the_backbone_and_what_matters_most() -> None:
    assert brief(PARAMS) == "cnn, depth 3, adam, rate 0.003, batch 64"
