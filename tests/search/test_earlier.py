"""What a later session of a run reads back of the earlier ones."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from automl_img.budget import Budget
from automl_img.errors import RunError, SettingsError
from automl_img.events import Event, Notice
from automl_img.objectives import parse_objectives
from automl_img.runs import Run, create_run
from automl_img.search import final
from automl_img.search.earlier import Earlier, Unfinished, begin_session, earlier_of, end_session
from automl_img.search.finals import Repeats
from automl_img.search.lock import only_driver
from automl_img.search.reopen import settings_of, tell_torn
from automl_img.search.reserve import Reserve
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, Suggestion
from automl_img.search.specs import FINAL_MODEL, WINNER, Specs
from automl_img.search.spending import Spending
from automl_img.search.start import KeptPoints, StartPoints
from automl_img.search.storage import open_studies
from automl_img.settings import SearchSettings
from automl_img.space.portfolio import DataFacts
from automl_img.training import checkpoint
from automl_img.trials import TrialRecord, TrialStart, TrialState
from tests.search.spaces import epoch, record, space

WIDE = {"optimizer.learning_rate": "1e-4..1e-1:log"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with no session yet."""
    settings = SearchSettings(data="digits", budget="20").model_dump()
    info = {"settings": settings, "seconds": {}, "sessions": [], "status": "running"}
    info |= {"search": {}, "data": {}}
    return create_run(tmp_path, "run", info)


def begin(run: Run, number: int, epochs: int = 0, **own: object) -> TrialStart:
    """A trial is handed to a worker, and keeps a checkpoint after so many epochs."""
    start = TrialStart(number, {"backbone": "cnn"}, 7, "sampler", None, epochs, time.time())
    start = dataclasses.replace(start, **own)  # type: ignore[arg-type]
    run.append_start(start)
    return start


def save(run: Run, number: int, epochs: int) -> None:
    results = [epoch(place + 1, 0.5) for place in range(epochs)]
    checkpoint.save(run.trial_folder(number), [np.zeros(2)], results)


def test_a_trial_without_a_record_goes_on_from_its_checkpoint(run: Run) -> None:
    for number in range(3):
        begin(run, number)
    save(run, 1, 2)
    run.append_trial(record(0))
    earlier = earlier_of(run)
    assert [each.number for each in earlier.records] == [0]
    assert [(u.suggestion.number, len(u.epochs)) for u in earlier.unfinished] == [(1, 2), (2, 0)]
    assert earlier.unfinished[0].suggestion.seed == 7
    assert earlier.next_number == 3


@pytest.mark.parametrize("reason", ["interrupted", "budget"])
def test_a_trial_that_was_cut_short_goes_on_where_its_checkpoint_is_left(
    run: Run, reason: str
) -> None:
    for number in range(2):
        begin(run, number)
        run.append_trial(record(number, (0.1, 0.2), TrialState.PRUNED, reason))
    save(run, 1, 1)
    earlier = earlier_of(run)
    assert [each.number for each in earlier.records] == [0]
    assert [each.suggestion.number for each in earlier.unfinished] == [1]


def test_of_a_trial_that_went_on_the_last_record_counts(run: Run) -> None:
    run.append_trial(record(0, (0.1,), TrialState.PRUNED, "interrupted"))
    run.append_trial(record(0, (0.1, 0.9)))
    [kept] = run.trials()
    assert len(kept.epochs) == 2
    assert not earlier_of(run).unfinished


def test_a_line_that_a_kill_left_torn_is_left_out_and_told(run: Run) -> None:
    begin(run, 0)
    begin(run, 1)
    run.append_trial(record(0))
    with (run.path / "trials.jsonl").open("a") as stream:
        stream.write('{"number": 1, "state": "comp')
    events: list[Event] = []
    tell_torn(run, events.append)
    assert events == [Notice("a line of trials.jsonl torn by a kill: left out")]
    assert [each.suggestion.number for each in earlier_of(run).unfinished] == [1]
    # What is written next is whole.
    run.append_trial(record(1))
    assert [each.number for each in run.trials()] == [0, 1]


def test_a_trial_that_kills_each_session_is_given_up_and_one_that_comes_further_is_not(
    run: Run,
) -> None:
    for _ in range(3):
        begin(run, 0)
    for done in (0, 1, 2):
        begin(run, 1, done)
    save(run, 1, 2)
    earlier = earlier_of(run)
    [given_up] = earlier.records
    assert (given_up.number, given_up.state) == (0, TrialState.FAILED)
    assert "each of the 3 times" in str(given_up.error)
    assert run.trials()[0] == given_up
    assert [each.suggestion.number for each in earlier.unfinished] == [1]


def test_the_time_between_two_sessions_does_not_count(run: Run) -> None:
    run.update_info(sessions=[[100.0, 130.0], [500.0, 520.0]])
    earlier = earlier_of(run)
    assert earlier.seconds == 50.0
    assert [earlier.seconds_until(moment) for moment in (110.0, 300.0, 505.0)] == [10, 30, 35]


def test_a_session_that_was_killed_ended_when_it_last_wrote(run: Run) -> None:
    begin_session(run, Earlier(), time.time())
    run.append_trial(record(0))
    last = time.time()
    os.utime(run.path / "trials.jsonl", (last + 40, last + 40))
    [(began, ended)] = earlier_of(run).sessions
    assert ended == pytest.approx(last + 40, abs=0.01)
    assert ended - began == pytest.approx(40, abs=5)
    begin_session(run, earlier_of(run), time.time())
    end_session(run, "finished", seconds={"search": 3})
    info = run.info
    assert len(info["sessions"]) == 2
    assert (info["status"], info["seconds"]) == ("finished", {"search": 3})
    assert all(ended >= began for began, ended in info["sessions"])


def test_one_process_at_a_time_searches_a_run(run: Run) -> None:
    code = (
        "import sys; from pathlib import Path; from automl_img.runs import Run\n"
        "from automl_img.search.lock import only_driver\n"
        "with only_driver(Run(Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(run.path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RunError, match="being searched by another process"), only_driver(run):
            pass
        holder.kill()
        holder.wait()
        # Who was killed holds nothing.
        with only_driver(run):
            pass


@pytest.mark.parametrize(
    ("before", "typed", "after"),
    [
        ("50", "+30", "80"),
        ("50", "80", "80"),
        ("50", None, "50"),
        ("2h", "+30m", "9000seconds"),
        ("500epochs", "+1500000 epochs", "1500500epochs"),
        ("90s", "+0.5s", "90.5seconds"),
    ],
)
def test_a_budget_grows_by_what_is_typed(
    run: Run, before: str, typed: str | None, after: str
) -> None:
    run.update_info(settings={**run.info["settings"], "budget": before})
    settings = settings_of(run, typed, None)
    assert settings.budget == after
    assert settings.allowed == Budget.parse(after)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("+1h", "counts trials, but got '\\+1h'; ask for such as \\+10"),
        ("10", "can only grow: it is 20 trials, but got '10'"),
        ("+", "must be trials .* but got '\\+'"),
        ("much", "must be trials .* but got 'much'"),
    ],
)
def test_a_budget_that_is_no_larger_one_is_refused(run: Run, typed: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings_of(run, typed, None)


def test_data_are_found_from_where_the_search_was_started(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    settings = {**run.info["settings"], "data": "photos"}
    run.update_info(settings=settings, folder=str(tmp_path))
    asked = settings_of(run, None, 2)
    assert asked.data == str(tmp_path / "photos")
    assert asked.workers == 2
    run.update_info(settings=None)
    with pytest.raises(RunError, match=r"its run\.json has no settings"):
        settings_of(run, None, None)


def test_a_study_that_a_kill_left_open_is_settled_by_the_records(tmp_path: Path) -> None:
    path, wide = tmp_path / "study.db", space(WIDE)
    first = Sampler(path, wide, "random", 0)
    asked = [cast(Suggestion, first.ask(number)) for number in range(4)]
    first.report(2, epoch(1, 0.4))
    [study] = open_studies(path)
    study.enqueue_trial({"optimizer.learning_rate": 0.05})
    first.close()
    again = Sampler(path, wide, "random", 0)
    # The first had ended, the third goes on, the others were never handed to a worker.
    again.restore([record(0, (0.7,), params=asked[0].params)], {2})
    [study] = open_studies(path)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "RUNNING", "FAIL", "WAITING"]
    again.report(2, epoch(2, 0.6))
    again.tell(record(2, (0.4, 0.6), params=asked[2].params))
    [study] = open_studies(path)
    assert study.trials[2].intermediate_values == {1: 0.4, 2: 0.6}
    assert study.trials[2].value == 0.6
    # What was never started may be asked for again; what was tried may not.
    assert again.place(5, asked[1].params, "start set") is not None
    assert again.place(6, asked[2].params, "start set") is None
    assert again.next_number == 6
    # Nor is what somebody has enqueued, in place of what was asked for.
    [study] = open_studies(path)
    assert [trial.state.name for trial in study.trials[4:]] == ["FAIL", "RUNNING"]


def test_rungs_know_what_earlier_trials_reached_beyond_their_warm_up() -> None:
    rungs = Rungs(9, grace=2)
    rungs.rebuild([record(number, (0.5,) * 3) for number in range(3)])
    assert not rungs.goes_on(9, 2, 0.4, "from scratch")
    warm = Rungs(9, grace=2)
    params = {"optimizer.warmup_epochs": 2}
    warm.rebuild([record(number, (0.5,) * 3, params=params) for number in range(3)])
    assert warm.goes_on(9, 2, 0.4, "from scratch")


@pytest.mark.parametrize(
    ("budget", "shares"),
    [("10", [0.1, 0.2, 0.2]), ("40epochs", [0.05, 0.1, 0.125]), ("100s", [0.3, 0.4, 0.5])],
)
def test_what_earlier_trials_cost_is_spent(budget: str, shares: list[float]) -> None:
    spending = Spending(Budget.parse(budget), Reserve(80, 20, 20, 0.0), lambda: 0.0)
    ended = [
        record(0, (0.1, 0.2)),
        record(1, (0.1, 0.2)),
        record(2, (), TrialState.PRUNED, "infeasible"),
    ]
    found = [spending.restore(each, 30.0 + 10 * place) for place, each in enumerate(ended)]
    assert found == pytest.approx(shares)


def test_a_budget_that_grew_is_not_spent_on_repeats_that_were_done() -> None:
    spending = Spending(Budget.parse("55"), Reserve(80, 20, 20, 0.0), lambda: 0.0)
    for number in range(44):
        spending.restore(record(number), 0.0)
    for number in range(6):
        spending.restore(repeat(44 + number, 0), 0.0)
    assert spending.allows("search", trials=5)
    assert not spending.allows("search", trials=6)
    assert spending.allows("finalists", trials=5)


def test_an_unfinished_trial_may_win_as_it_is_where_there_is_no_time_for_it(run: Run) -> None:
    begin(run, 0)
    save(run, 0, 2)
    assert run.trials() == []
    [unfinished] = earlier_of(run).unfinished
    assert run.trials() == [unfinished.record]
    assert earlier_of(run).unfinished == (unfinished,)


def repeat(number: int, of: int, reason: str = "finished") -> TrialRecord:
    state = TrialState.COMPLETE if reason == "finished" else TrialState.PRUNED
    again = record(number, (0.5,), state, reason)
    return dataclasses.replace(again, origin="repeat", repeat_of=of)


def repeated(
    records: Sequence[TrialRecord], unfinished: Sequence[Suggestion] = ()
) -> list[int | None]:
    """Of which trials repeats are asked for, in their order."""
    spending = Spending(Budget.parse("30"), Reserve(80, 20, 20, 0.0), lambda: 0.0)
    stage = Repeats(
        lambda: list(records),
        itertools.count(100),
        0,
        cast(Specs, None),
        spending,
        lambda event: None,
        unfinished,
    )
    found = []
    while not stage.over:
        found.append(cast(Suggestion, stage.ask()).repeat_of)
    return found


def test_a_finalist_is_not_repeated_again_for_what_an_earlier_session_has_done() -> None:
    finalists = [record(number, (0.9 - number / 100,)) for number in range(4)]
    assert repeated(finalists) == [0, 1, 2] * 2
    assert repeated([*finalists, repeat(10, 0), repeat(11, 1)]) == [2, 0, 1, 2]
    # One that was cut short is no seed of its trial.
    assert repeated([*finalists, repeat(10, 0, "budget")]) == [0, 1, 2] * 2
    goes_on = Suggestion(12, {}, 0, "repeat", 1)
    assert repeated([*finalists, repeat(10, 0)], [goes_on]) == [1, 2, 0, 1, 2]


def test_a_later_session_has_the_points_that_the_first_one_began_with(run: Run) -> None:
    facts, searched = DataFacts(4000, 10, 32, 3), space(WIDE)
    warm = searched.nearest({"optimizer.learning_rate": 0.02})
    first = KeptPoints(StartPoints(searched, facts, [warm]), run).points({})
    assert first[0] == (warm, "warm start")
    assert KeptPoints(StartPoints(searched, facts), run).points({}) == list(first)


def retrain(run: Run, winner: TrialRecord) -> None:
    final.prepare(run, winner)
    (run.path / WINNER / FINAL_MODEL).write_bytes(b"a model")
    final.keep_retrained(run, winner, record(winner.number, (0.9,)))


def test_a_winner_that_was_retrained_is_not_again_unless_it_trained_on(run: Run) -> None:
    winner = record(3, (0.5, 0.8))
    assert final.retrained(run, [winner]) is None
    retrain(run, winner)
    assert final.retrained(run, [winner]) == (winner, record(3, (0.9,)))
    assert final.retrained(run, [record(4, (0.5, 0.8)), winner]) is None
    assert final.retrained(run, [record(3, (0.5, 0.8, 0.9))]) is None
    # What lies there may be of a later winner, whose end was not noted.
    final.prepare(run, record(4, (0.5, 0.8)))
    assert final.retrained(run, [winner]) is None
    retrain(run, winner)
    # Once it is exported nothing of the retraining is needed.
    (run.path / WINNER / FINAL_MODEL).unlink()
    assert final.retrained(run, [winner]) is None
    final.keep_done(run, "test")
    final.keep_done(run, "export")
    run.model.write_bytes(b"exported")
    assert final.retrained(run, [winner]) is not None
    assert final.done(run) == ["test", "export"]


def test_who_cannot_be_retrained_is_not_tried_again_before_who_was(run: Run) -> None:
    better, winner = record(2, (0.9,)), record(3, (0.8,))
    final.prepare(run, winner)
    (run.path / WINNER / FINAL_MODEL).write_bytes(b"a model")
    final.keep_retrained(run, winner, record(3, (0.8,)), [2])
    assert final.retrained(run, [better, winner]) == (winner, record(3, (0.8,)))


def test_a_winner_without_time_to_be_retrained_is_when_the_budget_grows(run: Run) -> None:
    winner = record(3, (0.8,))
    final.keep_retrained(run, winner, record(3, (0.8,), reason="budget"))
    for step in ("test", "export"):
        final.keep_done(run, step)
    run.model.write_bytes(b"exported")
    assert final.retrained(run, [winner]) is None


def test_a_retraining_begins_from_nothing_that_another_one_left(run: Run) -> None:
    folder = run.path / WINNER
    final.prepare(run, record(3, (0.5,)))
    (folder / checkpoint.FILE).write_bytes(b"of trial 3")
    final.prepare(run, record(3, (0.5,)))
    assert (folder / checkpoint.FILE).exists()
    final.prepare(run, record(4, (0.5,)))
    assert not (folder / checkpoint.FILE).exists()


def test_what_an_unfinished_trial_reached_counts_at_the_rungs() -> None:
    own = Suggestion(4, {}, 0)
    kept = Unfinished(own, tuple(epoch(place + 1, 0.5) for place in range(3))).record
    rungs = Rungs(9, grace=2)
    rungs.rebuild([*(record(number, (0.9,) * 3) for number in range(2)), kept])
    assert not rungs.goes_on(9, 2, 0.4, "from scratch")


def test_a_trial_whose_cost_nobody_knows_fails_alone(tmp_path: Path) -> None:
    objectives = parse_objectives("val_accuracy,params")
    sampler = Sampler(tmp_path / "study.db", space(WIDE), "tpe", 0, objectives)
    asked = cast(Suggestion, sampler.ask(0))
    # Its worker and its driver were killed before it was measured.
    sampler.tell(record(0, (0.5,), params=asked.params))
    [study] = open_studies(tmp_path / "study.db")
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    assert sampler.ask(1) is not None
