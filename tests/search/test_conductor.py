from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from automl_img.errors import SearchError
from automl_img.events import EpochEnded, Event, Notice, TrialEnded, TrialStarted
from automl_img.runs import Run, create_run
from automl_img.search.conductor import Conductor
from automl_img.search.finalists import rank
from automl_img.search.placement import Placement
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, Suggestion, open_study
from automl_img.trials import Params, TrialSpec, TrialState
from tests.search.spaces import epoch, record, space

WIDE = {"optimizer.learning_rate": "1e-4..1e-1:log"}


def spec_of(suggestion: Suggestion) -> TrialSpec:
    return TrialSpec(
        suggestion.number, suggestion.params, suggestion.seed, 6, "", "", False, (), (), True, ""
    )


def graph_of(params: Params) -> str:
    return str(params["cnn.depth"])


class Search:
    """A conductor with a real study and run folder, and reports as a worker would send them."""

    def __init__(
        self,
        folder: Path,
        budget: int = 10,
        search: dict[str, str] | None = None,
        foreseen: int = 0,
        placement: Placement | None = None,
    ) -> None:
        self.run: Run = create_run(folder, "run", {})
        self.events: list[Event] = []
        self.stopping = False
        self.conductor = Conductor(
            self.run,
            Sampler(self.run.study, space(search or WIDE), "random", 0),
            Rungs(6),
            placement or Placement(),
            spec_of,
            graph_of,
            budget,
            foreseen,
            self.events.append,
            lambda: self.stopping,
        )

    def report(self, trial: str, number: int, accuracy: float) -> bool:
        result = dataclasses.asdict(epoch(number, accuracy))
        return self.conductor.stops(trial, message(number, result=result, parameters=7))

    def finish(self, trial: str, reason: str = "finished", **more: Any) -> None:
        self.conductor.hear(trial, message(9, ended=reason, **more))
        self.conductor.end(trial)


def message(number: int, **content: Any) -> dict[str, Any]:
    return {"epoch": number, "message": json.dumps(content)}


def test_no_more_trials_start_than_the_budget_allows(tmp_path: Path) -> None:
    search = Search(tmp_path, budget=2)
    assert [search.conductor.next(name) is None for name in "abc"] == [False, False, True]


def test_a_finished_trial_is_kept_with_all_its_epochs(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    assert not search.report("a", 1, 0.4)
    assert not search.report("a", 2, 0.6)
    search.finish("a", ms_per_image=0.5)
    (kept,) = search.run.trials()
    assert kept.state is TrialState.COMPLETE
    assert [result.val_accuracy for result in kept.epochs] == [0.4, 0.6]
    assert (kept.parameters, kept.ms_per_image) == (7, 0.5)
    assert [type(event) for event in search.events[1:]] == [EpochEnded, EpochEnded, TrialEnded]


def test_a_report_that_comes_twice_counts_once(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.report("a", 1, 0.4)
    search.finish("a")
    assert len(search.run.trials()[0].epochs) == 1


def test_the_weakest_of_three_is_stopped_at_the_rung_and_its_curve_is_kept(tmp_path: Path) -> None:
    search = Search(tmp_path)
    for trial, accuracy in (("a", 0.8), ("b", 0.7), ("c", 0.1)):
        search.conductor.next(trial)
        search.report(trial, 1, accuracy)
        stopped = search.report(trial, 2, accuracy)
        assert stopped == (trial == "c")
        # Tune gives the stopping report again when it ends the trial.
        search.conductor.end(trial) if stopped else search.finish(trial)
    last = search.run.trials()[-1]
    assert (last.state, last.stop_reason, len(last.epochs)) == (TrialState.PRUNED, "rung 2", 2)


@pytest.mark.parametrize("reason", ["diverged", "out of memory", "error"])
def test_a_failure_is_kept_with_its_reason_and_the_search_goes_on(
    tmp_path: Path, reason: str
) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.finish("a", reason, error="it went wrong")
    (kept,) = search.run.trials()
    assert (kept.state, kept.stop_reason, kept.error) == (
        TrialState.FAILED,
        reason,
        "it went wrong",
    )
    assert search.conductor.next("b") is not None


def test_a_trial_whose_worker_died_is_kept_as_failed(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.conductor.end("a")
    (kept,) = search.run.trials()
    assert kept.state is TrialState.FAILED
    assert "worker process died" in str(kept.error)


def test_after_a_stop_no_trial_starts_and_running_ones_end_with_what_they_have(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.stopping = True
    assert search.conductor.next("b") is None
    assert search.report("a", 1, 0.4)
    search.conductor.end("a")
    (kept,) = search.run.trials()
    assert (kept.state, kept.stop_reason) == (TrialState.PRUNED, "interrupted")


def test_a_spent_space_ends_the_search_and_says_so(tmp_path: Path) -> None:
    search = Search(tmp_path, budget=10, search={"batch_size": "16,32"})
    started = 0
    while search.conductor.next(f"t{started}") is not None:
        search.report(f"t{started}", 1, 0.5)
        search.finish(f"t{started}")
        started += 1
    assert started == 2
    assert any(isinstance(event, Notice) for event in search.events)


def test_the_best_validation_accuracy_wins_then_the_lower_loss_then_the_smaller_model() -> None:
    ranked = rank(
        [
            record(0, (0.5, 0.8)),
            record(1, (0.9, 0.7)),
            record(2, (0.9,), loss=0.5, parameters=200),
            record(3, (0.9,), loss=0.5, parameters=100),
            record(4, (), TrialState.FAILED, "error"),
        ]
    )
    assert [trial.number for trial in ranked] == [3, 2, 1, 0]


def test_a_failed_trial_never_wins_over_one_that_ended_well() -> None:
    failed = record(0, (0.9,), TrialState.FAILED, "out of memory", error="x")
    assert [trial.number for trial in rank([failed, record(1, (0.2,))])] == [1, 0]


def test_trials_cut_off_with_their_executor_are_kept(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.conductor.end_all()
    (kept,) = search.run.trials()
    assert (kept.state, kept.stop_reason) == (TrialState.PRUNED, "interrupted")


def test_the_trace_of_an_unforeseen_error_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.finish("a", "error", error="ValueError: odd", trace="Traceback\n  odd.py")
    assert "odd.py" in (search.run.path / "errors.log").read_text()
    assert "odd.py" not in (search.run.path / "trials.jsonl").read_text()


def test_a_trial_is_not_stopped_while_its_rate_rises_or_its_head_trains_alone(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, search={**WIDE, "optimizer.warmup_epochs": "2..3"})
    for trial, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.1)):
        search.conductor.next(trial)
        search.report(trial, 1, accuracy)
        assert not search.report(trial, 2, accuracy)
        search.finish(trial)


def test_a_search_without_a_usable_trial_says_why_the_first_failed() -> None:
    failed = record(0, (), TrialState.FAILED, "diverged", error="the loss was not finite")
    with pytest.raises(SearchError, match=r"none of 1 trials .* the loss was not finite"):
        rank([failed])


def order_of_one_worker(search: Search) -> list[tuple[int, str]]:
    """(number, graph) of each trial, in the order in which they start."""
    order = []
    while search.conductor.next(f"t{len(order)}") is not None:
        started = [event for event in search.events if isinstance(event, TrialStarted)][-1]
        order.append((started.number, graph_of(started.params)))
        search.report(f"t{len(order) - 1}", 1, 0.5)
        search.finish(f"t{len(order) - 1}")
    return order


DEPTHS = {**WIDE, "cnn.depth": "1,2"}


def test_trials_that_follow_from_no_result_start_in_the_order_of_their_graphs(
    tmp_path: Path,
) -> None:
    order = order_of_one_worker(Search(tmp_path / "a", 12, DEPTHS, foreseen=12))
    assert sorted(number for number, _ in order) == list(range(12))
    graphs = [graph for _, graph in order]
    changes = sum(one != other for one, other in itertools.pairwise(graphs))
    assert changes <= 2
    assert order_of_one_worker(Search(tmp_path / "b", 12, DEPTHS, foreseen=12)) == order


def test_trials_that_follow_from_results_are_asked_for_one_by_one(tmp_path: Path) -> None:
    search = Search(tmp_path, 12, DEPTHS, foreseen=3)
    asked = []
    while search.conductor.next(f"t{len(asked)}") is not None:
        asked.append(len(open_study(search.run.study).trials))
        search.report(f"t{len(asked) - 1}", 1, 0.5)
        search.finish(f"t{len(asked) - 1}")
    assert asked == [3, 3, *range(3, 13)]


def test_trials_that_were_asked_for_and_never_started_are_given_up(tmp_path: Path) -> None:
    search = Search(tmp_path, 12, DEPTHS, foreseen=12)
    search.conductor.next("a")
    search.stopping = True
    assert search.conductor.next("b") is None
    assert search.conductor.over
    search.conductor.end("a")
    states = {trial.state.name for trial in open_study(search.run.study).trials}
    assert "RUNNING" not in states
    assert len(search.run.trials()) == 1


def test_a_trial_for_which_gpu_memory_is_short_starts_when_another_has_ended(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, budget=2, placement=Placement(gpus=1, gpu_bytes=10 * 10**9))
    search.conductor.next("a")
    search.conductor.hear("a", message(1, gpu_peak_bytes=6 * 10**9))
    assert search.conductor.next("b") is None
    assert not search.conductor.over
    search.report("a", 1, 0.5)
    search.finish("a")
    second = search.conductor.next("b")
    assert second is not None
    assert second.number == 1
    assert search.conductor.next("c") is None
    assert search.conductor.over


def test_what_trials_have_to_say_is_said_once(tmp_path: Path) -> None:
    search = Search(tmp_path)
    for trial, text in (("a", "too large"), ("b", "too large"), ("c", "too slow")):
        search.conductor.next(trial)
        search.conductor.hear(trial, message(1, notice=text))
        search.report(trial, 1, 0.5)
        search.finish(trial)
    assert [event.text for event in search.events if isinstance(event, Notice)] == [
        "too large",
        "too slow",
    ]


def test_what_a_trial_cost_is_kept_with_it(tmp_path: Path) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.conductor.hear("a", message(1, graphs_traced=2, gpu_peak_bytes=5))
    search.report("a", 1, 0.5)
    search.finish("a", graphs_traced=0)
    (kept,) = search.run.trials()
    assert (kept.graphs_traced, kept.gpu_peak_bytes) == (0, 5)
