"""A search on a Ray cluster that runs already: real nodes on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from automl_img.errors import SettingsError
from automl_img.events import EpochEnded, Event
from automl_img.search import cluster
from automl_img.search.cluster import Node, check, share_cluster
from automl_img.search.hardware import describe_versions
from automl_img.search.resources import share_of
from tests.search.searches import small_search

GB = 10**9
HERE = Node("a", 4, 0, 8 * GB, 0, "float32", describe_versions(), ())


@contextmanager
def running(nodes: int, cores: int = 1) -> Iterator[Any]:
    """A cluster of so many nodes, of which the first is its head."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": cores})
    try:
        for _ in range(nodes - 1):
            found.add_node(num_cpus=cores)
        found.wait_for_nodes()
        yield found
    finally:
        found.shutdown()


@pytest.mark.parametrize(
    ("cores", "asked", "workers", "threads"),
    [
        ([4, 4], None, 4, 2),
        ([1, 1], None, 2, 1),
        ([2, 8], None, 6, 1),
        ([8, 8], 2, 2, 8),
        ([8, 2], 2, 2, 4),
        ([16, 4], 3, 3, 5),
    ],
)
def test_each_trial_fits_on_a_node(
    cores: list[int], asked: int | None, workers: int, threads: int
) -> None:
    machines = [(own, 0, 64 * GB) for own in cores]
    found = share_of(machines, asked, None, gpu_bytes=0, precision="float32", address="auto")
    assert (found.workers, found.threads) == (workers, threads)
    assert sum(own // threads for own in cores) >= workers
    assert found.threads_alone == max(cores)


def test_gpus_are_those_of_the_nodes_and_a_trial_has_those_of_one() -> None:
    machines = [(8, 2, 64 * GB), (8, 1, 64 * GB), (8, 0, 64 * GB)]

    def shared(each: float) -> int:
        return share_of(
            machines, None, each, gpu_bytes=0, precision="float32", address="auto"
        ).workers

    assert shared(1) == 3
    assert shared(0.5) == 6
    assert shared(2) == 1
    with pytest.raises(SettingsError, match="at most the GPUs of a machine of the cluster"):
        shared(3)


def test_a_node_with_other_versions_or_without_the_folders_is_named() -> None:
    check([HERE])
    other = Node(*HERE.__dict__.values())
    object.__setattr__(other, "name", "b")
    object.__setattr__(other, "versions", {**describe_versions(), "keras": "3.0.0"})
    with pytest.raises(SettingsError, match=r"every node must have keras .* but b has 3\.0\.0"):
        check([HERE, other])
    object.__setattr__(other, "versions", describe_versions())
    object.__setattr__(other, "unseen", ("/there",))
    with pytest.raises(SettingsError, match="every node must see /there, but b does not"):
        check([HERE, other])


@pytest.mark.slow
def test_where_no_cluster_runs_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at '127.0.0.1:9' there is none"):
        share_cluster("127.0.0.1:9", None, None, tmp_path)


@pytest.mark.slow
def test_a_search_uses_all_nodes_and_goes_on_where_one_is_lost(
    photos: Path, tmp_path: Path
) -> None:
    with running(nodes=2) as found:
        nodes = cluster.nodes_of(found.address, [tmp_path])
        assert [node.cores for node in nodes] == [1, 1]
        assert not any(node.unseen for node in nodes)
        assert not list(tmp_path.glob(".seen-*"))
        lost = threading.Event()
        epochs: list[tuple[int | None, float]] = []

        def hear(event: Event) -> None:
            if isinstance(event, EpochEnded):
                epochs.append((event.number, time.time()))
                both = {number for number, _ in epochs} >= {0, 1}
                if both and not lost.is_set():
                    lost.set()
                    worker = [
                        node for node in found.list_all_nodes() if node is not found.head_node
                    ]
                    found.remove_node(worker[0], allow_graceful=False)

        run = small_search(
            photos,
            tmp_path / "runs",
            hear,
            budget=4,
            max_epochs=6,
            workers=2,
            address=found.address,
            sampler="random",
        )
        assert lost.is_set()
        records = run.trials()
        assert [record.number for record in records if record.origin != "repeat"] == [0, 1, 2, 3]
        assert {record.stop_reason for record in records} == {"finished"}
        assert run.info["status"] == "finished"
        assert run.read_json("test.json")
        # It was there before, and goes on.
        assert cluster.nodes_of(found.address, [])
