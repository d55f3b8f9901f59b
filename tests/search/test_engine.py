"""What Ray Tune is told, by a conductor that a test holds in its hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from ray.tune import PlacementGroupFactory
from ray.tune.search import Searcher

from automl_img.errors import SearchError
from automl_img.events import EpochEnded, Event, Notice
from automl_img.runs import Run
from automl_img.search import engine, room
from automl_img.search.conductor import Conductor
from automl_img.search.engine import _request, _Searcher
from automl_img.search.resources import NodeSize, Resources, share, share_nodes
from automl_img.search.room import Nodes, Waits
from automl_img.trials import TrialSpec
from tests.search.searches import small_search

GB = 10**9
_MACHINE = Resources(workers=2, threads=1, gpus=0, gpus_per_trial=0)


def here(alone: bool) -> Waits:
    return Waits(Nodes(_MACHINE), alone, 2 if alone else 1, lambda event: None)


def nothing(*_: object) -> None:
    """Whatever is told."""


class OneTrial:
    """A conductor with one trial, which wants the machine for itself or does not."""

    over = False

    def __init__(self, alone: bool, shares: int = 1) -> None:
        self.alone, self.shares = alone, shares

    def next(self, trial_id: str, most_shares: int) -> TrialSpec:
        shares = min(self.shares, most_shares)
        return TrialSpec(7, {}, 0, 1, "", "", False, (), True, "", shares=shares)


def test_a_trial_gets_the_threads_of_its_executor() -> None:
    for alone, threads in ((False, 1), (True, 2)):
        searcher = _Searcher(cast(Conductor, OneTrial(alone)), alone, here(alone), None)
        told = searcher.suggest("a")
        assert told["spec"]["number"] == 7
        assert told["threads"] == threads


def test_what_wants_another_share_of_the_machine_ends_the_executor() -> None:
    for alone in (False, True):
        searcher = _Searcher(cast(Conductor, OneTrial(not alone)), alone, here(alone), None)
        assert searcher.suggest("a") == Searcher.FINISHED


def test_no_more_trials_run_than_there_is_room_for() -> None:
    searcher = _Searcher(cast(Conductor, OneTrial(alone=False)), False, here(alone=False), None)
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    assert searcher.suggest("c") is None
    searcher._waits.ended("a")
    assert searcher.suggest("c")


class TestSeveralShares:
    """For a trial that needs more memory than one has."""

    def test_it_asks_for_so_many_times_the_threads_the_gpus_and_the_memory(self) -> None:
        machine = Resources(workers=4, threads=3, gpus=2, gpus_per_trial=0.5)
        waits = Waits(Nodes(machine), False, 3, lambda event: None)
        conductor = cast(Conductor, OneTrial(alone=False, shares=9))
        told = _Searcher(conductor, False, waits, None).suggest("a")
        assert told["spec"]["shares"] == 2
        asked = _request({"GPU": 0.5, "memory": GB}, told)
        assert asked.bundles == [{"CPU": 6, "GPU": 1.0, "memory": 2 * GB}]

    def test_on_a_machine_for_itself_it_has_the_threads_of_that(self) -> None:
        waits = here(alone=True)
        conductor = cast(Conductor, OneTrial(alone=True, shares=2))
        assert _Searcher(conductor, True, waits, None).suggest("a")["threads"] == 2

    def test_as_long_as_it_waits_for_them_no_smaller_one_takes_them(self) -> None:
        machine = Resources(workers=4, threads=1, gpus=0, gpus_per_trial=0)
        waits = Waits(Nodes(machine), False, 1, lambda event: None)
        one, two = (cast(Conductor, OneTrial(alone=False, shares=count)) for count in (1, 2))
        searcher = _Searcher(one, False, waits, None)
        assert searcher.suggest("a")
        searcher._conductor = two
        assert searcher.suggest("b")
        searcher._conductor = one
        assert searcher.suggest("c") is None
        b = SimpleNamespace(trial_id="b")
        waits.on_trial_start(0, [], b)
        assert searcher.suggest("c")
        assert searcher.suggest("d") is None
        waits.ended("a")
        waits.on_trial_recover(0, [], b)
        assert searcher.suggest("d") is None

    def test_one_machine_gives_no_more_than_all_and_of_gpus_one(self) -> None:
        for each, most in ((0.0, 4), (1.0, 1), (0.5, 2), (0.3, 3), (2.0, 1)):
            machine = Resources(workers=4, threads=2, gpus=4, gpus_per_trial=each)
            assert Nodes(machine).most_shares == most

    def test_where_no_node_has_so_many_any_more_it_is_waited_for(
        self, now: list[tuple[float, float]]
    ) -> None:
        said: list[Event] = []
        nodes = Nodes(on_nodes())
        waits = Waits(nodes, False, 2, said.append)
        assert nodes.most_shares == 8
        waits.asked("a", 8)
        waits.on_step_begin(0, [])
        assert not said
        now[0] = (8.0, 0.0)
        waits.on_step_begin(0, [])
        [notice] = said
        assert isinstance(notice, Notice)
        assert "no node that is large enough for one of its trials" in notice.text
        # It runs on, where its node only gets no other one.
        waits.on_trial_start(0, [], SimpleNamespace(trial_id="a"))
        assert not waits._is_short


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The CPUs and GPUs of the nodes of a cluster, which are looked at each time."""
    nodes: list[tuple[float, float]] = [(16.0, 1.0), (4.0, 0.0)]

    def told() -> list[dict[str, object]]:
        of = [
            {
                "NodeID": f"node of {cpus:g}",
                "Alive": True,
                "Resources": {"CPU": cpus, "GPU": gpus, "memory": 64 * GB},
            }
            for cpus, gpus in nodes
        ]
        return [*of, {"NodeID": "lost", "Alive": False, "Resources": {"CPU": 99.0}}]

    monkeypatch.setattr(room.ray, "nodes", told)
    monkeypatch.setattr(room, "_SAME_NODES", -1.0)
    return nodes


def on_nodes(each: float = 0) -> Resources:
    nodes = [NodeSize(16, 1, 64 * GB), NodeSize(4, 0, 16 * GB)]
    return share_nodes(nodes, None, each, gpu_bytes=0, precision="float32", address="auto")


def test_a_trial_asks_for_no_more_threads_than_a_node_has_by_now(
    now: list[tuple[float, float]],
) -> None:
    nodes = Nodes(on_nodes())
    assert (nodes.room(2), nodes.threads(alone=False), nodes.threads(alone=True)) == (10, 2, 16)
    now.pop(0)
    assert (nodes.room(2), nodes.threads(alone=False), nodes.threads(alone=True)) == (2, 2, 4)
    now[0] = (1.0, 0.0)
    assert (nodes.room(2), nodes.threads(alone=False), nodes.threads(alone=True)) == (0, 1, 1)
    assert nodes.room(1) == 1
    now.clear()
    assert (nodes.room(1), nodes.threads(alone=True)) == (0, 0)


def test_a_trial_on_a_gpu_asks_for_what_a_node_with_one_has(
    now: list[tuple[float, float]],
) -> None:
    now[:] = [(4.0, 1.0), (64.0, 0.0)]
    assert Nodes(on_nodes(1)).threads(alone=True) == 4


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: found[0])
    return found


class TestWaiting:
    """For nodes that were lost."""

    def test_where_no_node_is_large_enough_any_more_the_executor_ends_after_a_minute(
        self, now: list[tuple[float, float]], clock: list[float]
    ) -> None:
        said: list[Event] = []
        waits = Waits(Nodes(on_nodes()), True, 16, said.append)
        waits.on_step_begin(0, [])
        lost = now.pop(0)
        for clock[0] in (100.0, 150.0):
            waits.on_step_begin(0, [])
        now.insert(0, lost)
        clock[0] = 170.0
        assert waits.room == 1
        now.pop(0)
        clock[0] = 180.0
        assert waits.room == 0
        clock[0] = 241.0
        with pytest.raises(RuntimeError, match="no node has room for the next trial"):
            waits.on_step_begin(0, [])
        assert waits.in_vain
        assert [type(event) for event in said] == [Notice, Notice]

    def test_what_then_asks_for_less_finds_room(
        self, now: list[tuple[float, float]], clock: list[float]
    ) -> None:
        now[:] = [(1.0, 0.0)]
        nodes = Nodes(on_nodes())
        waits = Waits(nodes, False, nodes.threads(alone=False), lambda event: None)
        searcher = _Searcher(cast(Conductor, OneTrial(alone=False)), False, waits, None)
        assert searcher.suggest("a")
        assert searcher.suggest("b") is None

    def test_without_any_node_it_is_longer(
        self, now: list[tuple[float, float]], clock: list[float]
    ) -> None:
        now.clear()
        waits = Waits(Nodes(on_nodes()), False, 2, lambda event: None)
        searcher = _Searcher(cast(Conductor, OneTrial(alone=False)), False, waits, None)
        assert searcher.suggest("a") is None
        clock[0] = 800.0
        assert searcher.suggest("a") is None
        clock[0] = 901.0
        assert searcher.suggest("a") == Searcher.FINISHED

    def test_whoever_asked_to_stop_waits_for_none(
        self, now: list[tuple[float, float]], clock: list[float]
    ) -> None:
        now.clear()
        stopped: list[bool] = []
        waits = Waits(Nodes(on_nodes()), False, 2, lambda event: None, lambda: bool(stopped))
        assert (waits.room, waits.in_vain) == (0, False)
        stopped.append(True)
        assert (waits.room, waits.in_vain) == (0, True)


class TestOthersOnTheCluster:
    """A trial finds no room though the nodes have it."""

    def test_several_shares_are_given_up_once_nothing_else_of_ours_runs(
        self, now: list[tuple[float, float]], clock: list[float]
    ) -> None:
        nodes = Nodes(on_nodes())
        waits = Waits(nodes, False, 2, nothing)
        waits.asked("small", 1)
        waits.on_trial_start(0, [], SimpleNamespace(trial_id="small"))
        waits.asked("large", 8)
        for clock[0] in (10.0, 1000.0):
            waits.on_step_begin(0, [])
        waits.ended("small")
        for clock[0] in (1010.0, 1060.0):
            waits.on_step_begin(0, [])
        assert nodes.most_shares == 8
        clock[0] = 1071.0
        with pytest.raises(RuntimeError, match="no node has room for the next trial"):
            waits.on_step_begin(0, [])
        assert nodes.most_shares == 7
        assert nodes.threads(alone=False) == 2

    def test_a_node_for_itself_is_given_up_too_however_it_is_hurried(
        self, now: list[tuple[float, float]], clock: list[float]
    ) -> None:
        nodes = Nodes(on_nodes())
        waits = Waits(nodes, True, 16, nothing, lambda: True)
        waits.asked("winner", 1)
        for clock[0] in (0.0, 59.0):
            waits.on_step_begin(0, [])
        clock[0] = 61.0
        with pytest.raises(RuntimeError, match="no node has room for the next trial"):
            waits.on_step_begin(0, [])
        assert nodes.threads(alone=True) == 2

    def test_here_a_process_may_start_as_slowly_as_it_does(self, clock: list[float]) -> None:
        waits = here(alone=True)
        waits.asked("winner", 1)
        for clock[0] in (0.0, 1000.0):
            waits.on_step_begin(0, [])
        assert not waits.in_vain


class TestUnfitNodes:
    """Those that say that they cannot run trials."""

    def leave(self, waits: Waits, node: str, trial: str) -> None:
        conductor = cast(Conductor, SimpleNamespace(hear=nothing, end=nothing))
        searcher = _Searcher(conductor, False, waits, None)
        said = {"ended": "unfit node", "error": "its disk is full (on b)", "node": node}
        searcher.on_trial_complete(trial, {"message": json.dumps(said)})

    def test_get_no_trials_any_more_and_that_is_told_once(
        self, now: list[tuple[float, float]]
    ) -> None:
        said: list[Event] = []
        nodes = Nodes(on_nodes())
        waits = Waits(nodes, False, 2, said.append)
        assert waits.room == 10
        for trial in "ab":
            self.leave(waits, "node of 16", trial)
        assert waits.room == 2
        told = _Searcher(cast(Conductor, OneTrial(alone=False)), False, waits, None).suggest("c")
        assert _request({}, told) == PlacementGroupFactory(
            [{"CPU": 2}], bundle_label_selector=[{"ray.io/node-id": "!in(node of 16)"}]
        )
        [notice] = said
        assert isinstance(notice, Notice)
        assert notice.text.endswith("any more: its disk is full (on b)")
        assert not nodes.none_is_fit

    def test_where_no_other_one_could_run_trials_the_search_ends_with_the_reason(
        self,
        now: list[tuple[float, float]],
        clock: list[float],
        tmp_path: Path,
    ) -> None:
        # The head gives no CPUs away.
        now.append((0.0, 0.0))
        nodes = Nodes(on_nodes())
        waits = Waits(nodes, False, 2, lambda event: None)
        for node in ("node of 16", "node of 4"):
            self.leave(waits, node, node)
        assert (waits.room, waits.in_vain) == (0, False)
        clock[0] = 61.0
        assert (waits.room, waits.in_vain) == (0, True)
        sentence = engine._no_room(nodes, Run(tmp_path))
        assert "is fit for trials, the last one as its disk is full (on b); what" in sentence
        # Another one, or one that was mended, is.
        now.append((8.0, 0.0))
        assert waits.room == 4


class Unlucky:
    """A conductor whose executor ends early some times; then all is done."""

    alone = False

    def __init__(self, times: int) -> None:
        self.left = times
        self.taken_back = 0
        self.over = False

    def take_back(self) -> None:
        self.taken_back += 1

    def run(self, *_: object) -> str | None:
        self.left -= 1
        self.over = self.left < 0
        return None if self.over else "out of luck"


def test_an_executor_that_ends_early_is_started_again_three_times_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said_by(unlucky: Unlucky) -> Iterator[str]:
        said: list[Event] = []
        monkeypatch.setattr(engine, "_run", unlucky.run)
        try:
            engine.run_trials(cast(Conductor, unlucky), Run(tmp_path), machine, said.append)
        finally:
            yield from (event.text for event in said if isinstance(event, Notice))

    machine: Resources = share(1, 0.0)
    three = Unlucky(3)
    assert list(said_by(three)) == ["Ray Tune ended early (out of luck); it is started again"] * 3
    assert three.taken_back == 3
    with pytest.raises(SearchError, match=r"out of luck\), 4 times; .* automl-img resume"):
        list(said_by(Unlucky(4)))


@pytest.mark.slow
def test_a_search_goes_on_with_its_trials_after_an_error_of_tune(
    photos: Path, tmp_path: Path
) -> None:
    said: list[Event] = []

    def listen(event: Event) -> None:
        said.append(event)
        heard = [each for each in said if isinstance(each, EpochEnded)]
        if isinstance(event, EpochEnded) and len(heard) == 2:
            # Out of a callback of Tune's, which ends with it.
            raise RuntimeError("in the midst of a trial")

    run = small_search(photos, tmp_path / "runs", listen, budget=4, sampler="random")
    again = [e.text for e in said if isinstance(e, Notice) and "started again" in e.text]
    assert len(again) == 1
    assert "in the midst of a trial" in again[0]
    trials = run.trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert all(trial.best is not None for trial in trials)
    # Each epoch was heard once.
    for trial in trials:
        assert [epoch.epoch for epoch in trial.epochs] == list(range(1, len(trial.epochs) + 1))
    assert run.model.exists()
