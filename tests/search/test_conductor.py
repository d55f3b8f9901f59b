from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from automl_img.budget import Budget
from automl_img.errors import SearchError
from automl_img.events import EpochEnded, Event, Notice, TrialEnded, TrialStarted
from automl_img.runs import Run, create_run
from automl_img.search.choice import rank
from automl_img.search.conductor import Conductor
from automl_img.search.memory import MemoryBounds
from automl_img.search.placement import Placement
from automl_img.search.proposals import Proposals
from automl_img.search.reserve import Reserve
from automl_img.search.retention import MOST_KEPT, Retention
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, Suggestion
from automl_img.search.specs import Specs
from automl_img.search.spending import Part, Spending
from automl_img.search.storage import open_studies
from automl_img.training import checkpoint
from automl_img.training.costs import Footprint
from automl_img.trials import Origin, Params, TrialRecord, TrialSpec, TrialState
from tests.search.spaces import epoch, record, space

WIDE = {"optimizer.learning_rate": "1e-4..1e-1:log"}


class OneSpec:
    """Stands where ``Specs`` makes specs: a conductor looks at none of what is in them."""

    def of(self, suggestion: Suggestion, deadline: float | None = None) -> TrialSpec:
        number, params, seed = suggestion.number, suggestion.params, suggestion.seed
        folder = f"trial-{number}"
        return TrialSpec(number, params, seed, 6, "", "", False, (), True, folder)

    probe = of


class Last:
    """A last stage, of one trial at the most."""

    part: Part = "retraining"
    compared = kept = order_is_free = given_up = alone = False

    def __init__(self) -> None:
        self.suggestion: Suggestion | None = None

    @property
    def over(self) -> bool:
        return self.suggestion is None

    def ask(self) -> Suggestion | None:
        suggestion, self.suggestion = self.suggestion, None
        return suggestion

    def spec(self, suggestion: Suggestion) -> TrialSpec:
        return OneSpec().of(suggestion)

    def ended(self, record: TrialRecord) -> None:
        raise AssertionError


@dataclasses.dataclass
class Given:
    """Probes and points as a test sets them; keeps the scores that it is told."""

    probes: Sequence[Params]
    given: list[tuple[Params, Origin]]
    scores: dict[str, float]

    def points(self, scores: Mapping[str, float]) -> list[tuple[Params, Origin]]:
        self.scores.update(scores)
        return self.given


def graph_of(params: Params) -> str:
    return str(params["cnn.depth"])


class Search:
    """A conductor with a real study and run folder, and reports as a worker would send them."""

    def __init__(
        self,
        folder: Path,
        trials: int = 10,
        search: dict[str, str] | None = None,
        kind: str = "tpe",
        points: int = 0,
        placement: Placement | None = None,
        budget: str | None = None,
        probes: tuple[Params, ...] = (),
        memory: int = 0,
        disk: int = 10**10,
    ) -> None:
        """
        Args:
            trials: of the search, repeats of finalists not counted.
            points: so many trials are set before the sampler is asked.
            memory: bytes of a worker; 0 for no bound.
            disk: bytes for what trials leave.
        """
        self.run: Run = create_run(folder, "run", {})
        self.events: list[Event] = []
        self.stopping = False
        self.clock = 0.0
        searched = space(search or WIDE)
        self.sampler = Sampler(self.run.study, searched, kind, 0)
        self.spending = Spending(
            Budget.parse(budget) if budget else budget_of(trials),
            Reserve(80, 20, 20, 0.0),
            lambda: self.clock,
        )
        given: list[tuple[Params, Origin]] = [
            (searched.nearest({"optimizer.learning_rate": 1e-3 * (place + 1)}), "start set")
            for place in range(points)
        ]
        self.scores: dict[str, float] = {}

        proposals = Proposals(
            self.sampler,
            Given(probes, given, self.scores),
            kind,
            itertools.count(),
            cast(Specs, OneSpec()),
            self.spending,
            self.events.append,
        )
        self.memory = MemoryBounds(memory, 0, graph_of, lambda params: Footprint(0, 0), 10**6)
        self.last = Last()
        self.conductor = Conductor(
            self.run,
            (proposals, self.last),
            self.sampler,
            Rungs(6),
            self.spending,
            placement or Placement(),
            self.memory,
            Retention(self.run, disk),
            graph_of,
            self.events.append,
            lambda: self.stopping,
        )

    def report(self, trial: str, number: int, accuracy: float) -> bool:
        result = dataclasses.asdict(epoch(number, accuracy))
        return self.conductor.stops(trial, message(number, result=result, parameters=7))

    def finish(self, trial: str, reason: str = "finished", **more: Any) -> None:
        self.conductor.hear(trial, message(9, ended=reason, **more))
        self.conductor.end(trial)


def budget_of(trials: int) -> Budget:
    """The budget whose search has ``trials``; repeats of finalists come on top."""
    budgets = (Budget(amount, "trials") for amount in itertools.count(trials))
    reserve = Reserve(1, 1, 1, 0.0)
    return next(
        budget
        for budget in budgets
        if budget.amount - Spending(budget, reserve, lambda: 0.0).repeats == trials
    )


def message(number: int, **content: Any) -> dict[str, Any]:
    return {"epoch": number, "message": json.dumps(content)}


def test_no_more_trials_start_than_the_budget_allows(tmp_path: Path) -> None:
    search = Search(tmp_path, 2)
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
    search = Search(tmp_path, search={"batch_size": "16,32"})
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
    order = order_of_one_worker(Search(tmp_path / "a", 12, DEPTHS, "random"))
    assert sorted(number for number, _ in order) == list(range(12))
    graphs = [graph for _, graph in order]
    changes = sum(one != other for one, other in itertools.pairwise(graphs))
    assert changes <= 2
    assert order_of_one_worker(Search(tmp_path / "b", 12, DEPTHS, "random")) == order


def test_trials_that_follow_from_results_are_asked_for_one_by_one(tmp_path: Path) -> None:
    search = Search(tmp_path, 12, DEPTHS, points=3)
    asked = []
    while search.conductor.next(f"t{len(asked)}") is not None:
        asked.append(len(open_studies(search.run.study)[0].trials))
        search.report(f"t{len(asked) - 1}", 1, 0.5)
        search.finish(f"t{len(asked) - 1}")
    assert asked == [3, 3, *range(3, 13)]


def test_trials_that_were_asked_for_and_never_started_are_given_up(tmp_path: Path) -> None:
    search = Search(tmp_path, 12, DEPTHS, "random")
    search.conductor.next("a")
    search.stopping = True
    assert search.conductor.next("b") is None
    search.conductor.end("a")
    assert search.conductor.over
    states = {trial.state.name for trial in open_studies(search.run.study)[0].trials}
    assert "RUNNING" not in states
    assert len(search.run.trials()) == 1


def test_a_trial_for_which_gpu_memory_is_short_starts_when_another_has_ended(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 2, placement=Placement(gpus=1, gpu_bytes=10 * 10**9))
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
    search.report("b", 1, 0.5)
    search.finish("b")
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


def test_a_budget_of_epochs_ends_running_trials_when_they_are_trained(tmp_path: Path) -> None:
    search = Search(tmp_path, budget="5epochs")
    search.conductor.next("a")
    assert [search.report("a", number, 0.5) for number in (1, 2, 3, 4)] == [False] * 3 + [True]
    search.conductor.end("a")
    (kept,) = search.run.trials()
    assert (kept.state, kept.stop_reason) == (TrialState.PRUNED, "budget")
    assert search.conductor.next("b") is None
    assert search.conductor.over


def test_a_budget_of_time_ends_running_trials_with_something_kept_for_the_end(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, budget="100s")
    search.conductor.next("a")
    search.clock = 50
    assert not search.report("a", 1, 0.5)
    search.clock = 99
    assert search.report("a", 2, 0.6)
    search.conductor.end("a")
    assert search.conductor.next("b") is None
    assert search.run.trials()[0].stop_reason == "budget"


def test_a_trial_that_comes_to_its_end_as_the_budget_does_is_not_cut_short(tmp_path: Path) -> None:
    search = Search(tmp_path, budget="100s")
    search.conductor.next("a")
    for number in range(1, 6):
        search.report("a", number, 0.5)
    search.clock = 99
    assert search.spending.used_up("search")
    # Six epochs are all that it has.
    assert not search.report("a", 6, 0.6)
    search.finish("a")
    assert search.run.trials()[0].state is TrialState.COMPLETE


def probe(name: str) -> Params:
    return {"backbone": name, "cnn.depth": 1}


def test_probes_come_first_and_the_start_set_waits_for_their_scores(tmp_path: Path) -> None:
    search = Search(tmp_path, 20, points=1, probes=(probe("vgg19"), probe("resnet50")))
    for trial in "ab":
        search.conductor.next(trial)
    assert search.conductor.next("c") is None
    assert not search.conductor.over
    for trial, accuracy in (("a", 0.7), ("b", 0.6)):
        search.report(trial, 1, accuracy)
        search.finish(trial)
    assert search.conductor.next("c") is not None
    assert search.scores == {"vgg19": 0.7, "resnet50": 0.6}
    search.report("c", 1, 0.5)
    search.finish("c")
    assert [trial.origin for trial in search.run.trials()] == ["probe", "probe", "start set"]
    assert len(open_studies(search.run.study)[0].trials) == 1


def test_one_probe_alone_decides_nothing_so_the_start_set_does_not_wait_for_it(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 20, points=1, probes=(probe("vgg19"),))
    search.conductor.next("a")
    assert search.conductor.next("b") is not None
    for trial, accuracy in (("b", 0.5), ("a", 0.7)):
        search.report(trial, 1, accuracy)
        search.finish(trial)
    origins = [trial.origin for trial in search.run.trials()]
    assert origins == ["probe", "start set"]


def test_probes_take_a_fifth_of_the_budget_at_the_most(tmp_path: Path) -> None:
    names = ("vgg19", "resnet50", "xception")
    search = Search(tmp_path, 8, probes=tuple(map(probe, names)))
    for trial in "abc":
        search.conductor.next(trial)
        search.report(trial, 1, 0.5)
        search.finish(trial)
    origins = [trial.origin for trial in search.run.trials()]
    assert origins == ["probe", "sampler", "sampler"]
    assert any("no probe of resnet50, xception" in str(event) for event in search.events)


def test_a_model_beyond_a_limit_is_no_trial_of_the_budget_and_is_kept_with_the_reason(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 2)
    search.conductor.next("a")
    search.finish("a", "infeasible", error="needs 2 MB", serving={"size_bytes": 2e6})
    for trial in "bc":
        assert search.conductor.next(trial) is not None
        search.report(trial, 1, 0.5)
        search.finish(trial)
    assert search.conductor.next("d") is None
    first = search.run.trials()[0]
    assert (first.state, first.stop_reason, first.error) == (
        TrialState.PRUNED,
        "infeasible",
        "needs 2 MB",
    )
    assert first.serving == {"size_bytes": 2e6}


def test_a_search_ends_where_every_model_is_beyond_a_limit(tmp_path: Path) -> None:
    search = Search(tmp_path, 3)
    names = itertools.count()
    while search.conductor.next(name := str(next(names))) is not None:
        search.finish(name, "infeasible", error="needs 2 MB")
    # As many as the budget has are free.
    assert len(search.run.trials()) == 6
    with pytest.raises(SearchError, match="none of 6 configurations does: of the last one needs"):
        rank(search.run.trials())


def test_only_the_best_few_trials_keep_their_weights(tmp_path: Path) -> None:
    search = Search(tmp_path, MOST_KEPT + 2, probes=(probe("vgg19"),))
    for number in range(MOST_KEPT + 2):
        name = str(number)
        search.conductor.next(name)
        kept = search.run.trial_folder(number) / checkpoint.BEST
        kept.parent.mkdir(parents=True)
        kept.write_bytes(b"weights")
        # The first one is a probe, the third the worst.
        search.report(name, 1, {0: 0.9, 2: 0.1}.get(number, 0.5 + number / 100))
        search.finish(name)
    left = {int(path.parent.name) for path in search.run.path.rglob(checkpoint.BEST)}
    assert left == set(range(MOST_KEPT + 2)) - {0, 2}


@pytest.mark.parametrize(("reason", "stays"), [("budget", True), ("finished", False)])
def test_a_trial_that_the_budget_cut_short_keeps_what_it_may_go_on_from(
    tmp_path: Path, reason: str, stays: bool
) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    kept = search.run.trial_folder(0) / checkpoint.FILE
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"state")
    search.report("a", 1, 0.5)
    search.finish("a", reason)
    assert kept.exists() is stays


def test_trials_cut_off_with_their_executor_go_on_with_the_next_and_count_once(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, trials=1)
    first = search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.conductor.take_back()
    assert not search.conductor.over
    again = search.conductor.next("b")
    assert first is not None
    assert again is not None
    assert again.number == first.number
    # It went on from a checkpoint before its last report, which it gives again.
    search.report("b", 1, 0.4)
    search.report("b", 2, 0.5)
    search.finish("b")
    (kept,) = search.run.trials()
    assert [result.epoch for result in kept.epochs] == [1, 2]
    assert kept.stop_reason == "finished"
    assert search.conductor.over


def test_trials_cut_off_with_their_executor_are_kept_where_the_search_is_stopped(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path)
    search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.conductor.take_back()
    search.stopping = True
    assert search.conductor.over
    (kept,) = search.run.trials()
    assert (kept.stop_reason, len(kept.epochs)) == ("interrupted", 1)


def test_a_process_that_the_system_ended_for_want_of_memory_is_told_from_others(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path)
    for trial, out_of_memory in (("a", False), ("b", True)):
        search.conductor.next(trial)
        search.conductor.lost(trial, out_of_memory)
        search.conductor.end(trial)
    first, second = search.run.trials()
    assert (first.state, first.stop_reason) == (TrialState.FAILED, "worker died")
    assert (second.state, second.stop_reason) == (TrialState.FAILED, "out of memory")


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_five_failures_in_a_row_for_one_reason_end_the_search_and_say_so(
    tmp_path: Path, kind: str
) -> None:
    search = Search(tmp_path, trials=20, kind=kind)
    # Others between them, or another reason, do not count.
    reasons = ["error"] * 4 + ["finished"] + ["error"] * 4 + ["diverged"] + ["error"] * 20
    started = 0
    while search.conductor.next(f"t{started}") is not None:
        reason = reasons[started]
        if reason == "finished":
            search.report(f"t{started}", 1, 0.5)
        error = {} if reason == "finished" else {"error": f"ValueError: image {started}"}
        search.finish(f"t{started}", reason, **error)
        started += 1
    assert started == 15
    assert search.conductor.over
    said = [event.text for event in search.events if isinstance(event, Notice)]
    assert any("the last 5 trials failed for the same reason (ValueError" in text for text in said)


def test_a_trial_that_does_not_fit_takes_no_worker_once_its_network_is_known(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 20, memory=10**9, search={**WIDE, "batch_size": "16,512"})
    started: list[int] = []
    while (spec := search.conductor.next(f"t{len(started)}")) is not None:
        trial = f"t{len(started)}"
        started.append(int(spec.params["batch_size"]))
        facts = {"fixed_bytes": 10**6, "image_bytes": 10**7}
        if started[-1] == 512:
            # The worker that built it has found that out.
            search.finish(trial, "infeasible", error="too large", memory=facts)
        else:
            search.report(trial, 1, 0.5)
            search.finish(trial, memory={**facts, "grown_bytes": 2 * 10**8})
    refused = [trial for trial in search.run.trials() if trial.stop_reason == "infeasible"]
    assert all(trial.params["batch_size"] == 512 for trial in refused)
    assert started.count(512) <= 1
    begun = {event.number for event in search.events if isinstance(event, TrialStarted)}
    assert {trial.number for trial in refused} - begun


def test_a_network_that_turns_out_too_large_for_one_share_is_tried_again_with_more(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 1, memory=10**9)
    spec = search.conductor.next("a", 4)
    assert spec is not None
    assert (spec.shares, spec.memory_bytes > 0) == (1, True)
    facts = {"fixed_bytes": 2 * 10**9, "image_bytes": 0}
    search.finish("a", "infeasible", error="too large", memory=facts, too_large=True)
    assert search.run.trials() == []
    again = search.conductor.next("b", 4)
    assert again is not None
    assert (again.number, again.shares) == (spec.number, 2)
    search.report("b", 1, 0.5)
    search.finish("b", memory=facts)
    [kept] = search.run.trials()
    assert (kept.stop_reason, kept.error) == ("finished", None)
    assert sum(isinstance(event, TrialStarted) for event in search.events) == 1


def test_a_trial_whose_node_was_not_fit_for_it_starts_again_without_a_record(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 1)
    spec = search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.finish("a", "unfit node", error="its disk is full (on b)", node="1234")
    assert search.run.trials() == []
    assert search.conductor.next("b") == spec
    search.report("b", 2, 0.5)
    search.finish("b")
    [kept] = search.run.trials()
    assert [result.val_accuracy for result in kept.epochs] == [0.4, 0.5]
    assert (kept.stop_reason, kept.error) == ("finished", None)


def test_one_whose_large_node_was_lost_is_not_trained_with_less_than_it_needs(
    tmp_path: Path,
) -> None:
    search = Search(tmp_path, 1, memory=10**9)
    search.conductor.next("a", 4)
    facts = {"fixed_bytes": 2 * 10**9, "image_bytes": 0}
    search.finish("a", "infeasible", error="too large", memory=facts, too_large=True)
    search.conductor.next("b", 4)
    search.report("b", 1, 0.5)
    search.conductor.take_back()
    search.conductor.next("c", 1)
    kept, *_ = search.run.trials()
    assert (kept.stop_reason, len(kept.epochs)) == ("infeasible", 1)
    assert "more than there is for a trial" in (kept.error or "")


def test_one_that_is_too_large_for_the_whole_machine_is_not(tmp_path: Path) -> None:
    search = Search(tmp_path, 1, memory=10**9)
    search.conductor.next("a", 2)
    facts = {"fixed_bytes": 10**11, "image_bytes": 0}
    search.finish("a", "infeasible", error="too large", memory=facts, too_large=True)
    [kept] = search.run.trials()
    assert (kept.stop_reason, kept.error) == ("infeasible", "too large")


def test_what_is_no_trial_of_the_search_is_not_asked_whether_it_fits(tmp_path: Path) -> None:
    search = Search(tmp_path, 1, memory=10**9)
    spec = search.conductor.next("a")
    assert spec is not None
    search.report("a", 1, 0.5)
    search.finish("a", "out of memory", memory={"fixed_bytes": 10**11, "image_bytes": 0})
    assert search.memory.refusal(spec.params)
    search.last.suggestion = Suggestion(0, spec.params, spec.seed)
    assert search.conductor.next("b") == dataclasses.replace(spec, memory_bytes=0)


def test_what_was_about_to_end_when_its_executor_did_has_ended(tmp_path: Path) -> None:
    search = Search(tmp_path, 1)
    search.conductor.next("a")
    search.report("a", 1, 0.4)
    search.conductor.hear("a", message(9, ended="finished"))
    search.conductor.take_back()
    [kept] = search.run.trials()
    assert kept.stop_reason == "finished"


def test_a_search_of_models_that_never_fit_ends(tmp_path: Path) -> None:
    search = Search(tmp_path, budget="1h", memory=10**9)
    search.conductor.next("a")
    search.report("a", 1, 0.5)
    search.finish("a", memory={"fixed_bytes": 10**11, "image_bytes": 0})
    while search.conductor.next("b") is not None:
        search.report("b", 1, 0.5)
        search.finish("b", memory={"fixed_bytes": 10**11, "image_bytes": 0})
        search.memory._trained.clear()
    assert search.conductor.over
    said = [event.text for event in search.events if isinstance(event, Notice)]
    assert any("do not fit" in text for text in said)


def test_what_trials_leave_on_the_disk_is_bounded_and_the_best_keep_theirs(tmp_path: Path) -> None:
    search = Search(tmp_path, 6, disk=25_000)
    for number in range(6):
        search.conductor.next("a")
        search.report("a", 1, 0.1 * (number % 4))
        folder = search.run.trial_folder(number)
        folder.mkdir(parents=True)
        (folder / checkpoint.BEST).write_bytes(b"0" * 10_000)
        search.finish("a")
    left = {int(path.parent.name) for path in search.run.path.glob(f"trials/*/{checkpoint.BEST}")}
    assert left == {2, 3}
