"""Which deaths of processes are explained by a want of memory, on which nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import ray

from automl_img.search import kills
from automl_img.search.hardware import out_of_memory_kills
from automl_img.search.kills import Kills
from automl_img.search.resources import Resources
from automl_img.search.room import Nodes

_HERE = Resources(workers=1, threads=1, gpus=0, gpus_per_trial=0)


def test_a_kill_explains_one_death(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = [3]
    monkeypatch.setattr(kills, "out_of_memory_kills", lambda: counted[0])
    found = Kills(Nodes(_HERE))
    assert not found.explain()
    counted[0] += 2
    assert [found.explain() for _ in range(3)] == [True, True, False]


class TestOnACluster:
    @pytest.fixture
    def counted(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
        """How many kills each node tells of by now."""
        found = {"a": 3, "b": 0}
        monkeypatch.setattr(Nodes, "alive", property(lambda self: list(found)))
        monkeypatch.setattr(kills, "_asked", lambda node: found[node])
        return found

    def test_those_of_all_nodes_count_and_of_one_that_joined_those_since(
        self, counted: dict[str, int]
    ) -> None:
        found = Kills(Nodes(_HERE))
        counted["b"] += 1
        assert [found.explain() for _ in range(2)] == [True, False]
        counted["c"] = 7
        assert not found.explain()
        found.look()
        assert not found.explain()
        counted["c"] += 1
        del counted["a"]
        assert [found.explain() for _ in range(2)] == [True, False]

    @pytest.mark.slow
    def test_nodes_are_asked_through_ray(self) -> None:
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        try:
            nodes = Nodes(replace(_HERE, address="auto"))
            found = Kills(nodes)
            [(node, asked)] = found._before.items()
            assert ray.get(asked, timeout=60) == out_of_memory_kills()
            assert not found.explain()
            found._before[node] = out_of_memory_kills() - 1
            assert [found.explain() for _ in range(2)] == [True, False]
        finally:
            ray.shutdown()
