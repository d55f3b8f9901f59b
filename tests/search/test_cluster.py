"""A search on a Ray cluster that runs already: real nodes, which share no folder."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from automl_img import load_run
from automl_img.errors import SettingsError
from automl_img.runs import Run
from automl_img.search import cluster, doctor
from automl_img.search.cluster import Node, share_cluster, troubles
from automl_img.search.file_server import FileServer
from automl_img.search.hardware import describe_versions
from automl_img.search.resources import NodeSize, Resources, share_nodes
from tests.pictures import class_folders
from tests.search.nodes import Cluster, running_cluster

GB = 10**9
HERE = Node("a", 4, 0, (), 8 * GB, 0, "float32", describe_versions(), "/cache", GB)
# Seconds.
_PATIENCE = 120.0
_TINY = ("cnn.depth=2", "cnn.filters=8", "cnn.convolutions=1", "batch_size=16")


def shared(
    nodes: list[NodeSize], workers: int | None = None, gpus: float | None = None
) -> Resources:
    return share_nodes(nodes, workers, gpus, gpu_bytes=0, precision="float32", address="auto")


@pytest.mark.parametrize(
    ("cores", "asked", "workers", "threads"),
    [
        ([4, 4], None, 4, 2),
        ([1, 1], None, 2, 1),
        ([2, 8], None, 5, 2),
        ([3, 8], None, 5, 2),
        ([8, 8], 2, 2, 8),
        ([8, 2], 2, 2, 4),
        ([16, 4], 3, 3, 5),
        ([2, 2], 4, 4, 1),
    ],
)
def test_each_trial_fits_on_a_node(
    cores: list[int], asked: int | None, workers: int, threads: int
) -> None:
    nodes = [NodeSize(own, 0, 64 * GB) for own in cores]
    found = shared(nodes, asked)
    assert (found.workers, found.threads) == (workers, threads)
    assert found.room_on(nodes) == workers
    assert found.threads_alone == max(cores)
    assert found.shares == max(cores) // threads


def test_more_workers_than_find_room_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"may be at most .* \(4\), but is 5"):
        shared([NodeSize(2, 0, GB), NodeSize(2, 0, GB)], 5)


def test_trials_have_the_memory_of_nodes_that_are_alike_and_fewer_run_on_a_small_one() -> None:
    nodes = [NodeSize(8, 0, 64 * GB), NodeSize(8, 0, 48 * GB), NodeSize(8, 0, 4 * GB)]
    found = shared(nodes)
    assert (found.threads, found.memory_bytes) == (2, int(0.7 * 12 * GB))
    assert [found.room_on([node]) for node in nodes] == [4, 4, 0]
    assert found.workers == 8


def test_there_is_room_for_more_trials_as_nodes_join_unless_a_number_was_asked_for() -> None:
    four, eight, gpu = NodeSize(4, 0, 64 * GB), NodeSize(8, 0, 128 * GB), NodeSize(4, 1, 64 * GB)
    free = shared([four, four])
    assert free.room_on([four, four, eight]) == 8
    assert free.room_on([four]) == 2
    assert free.room_on([]) == 0
    assert free.room_on([four], threads=1) == 2  # Memory is short.
    assert shared([four, four], 3).room_on([four, four, eight]) == 3
    half = shared([gpu, eight], gpus=0.5)
    assert half.room_on([gpu, eight]) == 2
    assert half.room_on([gpu, NodeSize(8, 2, 128 * GB)]) == 6


def test_gpus_are_those_of_the_nodes_and_a_trial_has_those_of_one() -> None:
    nodes = [NodeSize(8, 2, 64 * GB), NodeSize(8, 1, 64 * GB), NodeSize(8, 0, 64 * GB)]
    assert shared(nodes).workers == 3
    assert shared(nodes, gpus=0.5).workers == 6
    assert shared(nodes, gpus=2).workers == 1
    with pytest.raises(SettingsError, match="at most the GPUs of a node of the cluster"):
        shared(nodes, gpus=3)


def test_of_several_kinds_of_gpus_a_trial_may_take_the_memory_of_the_smallest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = dataclasses.replace(HERE, name="a", gpus=2, gpu_bytes=16 * GB, gpu_names=("T4",) * 2)
    large = dataclasses.replace(HERE, name="b", gpus=1, gpu_bytes=80 * GB, gpu_names=("A100",))
    large = dataclasses.replace(large, precision="mixed_bfloat16")
    monkeypatch.setattr(cluster, "nodes_of", lambda address: [small, large, HERE])
    found = share_cluster("auto", None, None)
    assert (found.workers, found.gpus, found.nodes) == (3, 3, 3)
    assert found.trial_bytes == int(0.9 * 16 * GB)
    assert found.precision == "float32"
    monkeypatch.setattr(cluster, "nodes_of", lambda address: [large, HERE])
    assert share_cluster("auto", None, None).precision == "mixed_bfloat16"
    assert share_cluster("auto", None, 0).precision == "float32"
    monkeypatch.setattr(doctor, "nodes_of", lambda address: [large, HERE])
    warned = doctor.diagnose("auto", Path())
    assert any("1 of 2 nodes have no GPU" in sentence for sentence in warned.warnings)


def test_a_node_with_other_versions_or_without_a_cache_is_named() -> None:
    assert troubles(HERE) == []
    other = dataclasses.replace(
        HERE, name="b", versions={**describe_versions(), "keras": "3.0.0"}, cache_bytes=0
    )
    versions, cache = troubles(other)
    assert "have keras" in versions
    assert versions.endswith("install it there, or start the nodes from one image")
    assert "but b has 3.0.0" in versions
    assert "but /cache of b cannot; set AUTOML_IMG_CACHE" in cache


@pytest.mark.parametrize("address", ["", "x", "http://head:8265", "head:port", "head:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"must be local, auto or HOST:PORT"):
        share_cluster(address, None, None)


def test_where_nobody_listens_that_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(SettingsError, match=r"at '127\.0\.0\.1:9' there is none to be had"):
        share_cluster("127.0.0.1:9", None, None)
    assert time.monotonic() - began < 60


class TestFilesOfASearch:
    """What the driver's node gives to others."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> FileServer:
        for name in ("run/trials/00001", "pixels", "secret"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "run" / "trials" / "00001" / "checkpoint.npz").write_bytes(b"abc")
        (tmp_path / "pixels" / "images.npy").write_bytes(b"x" * 10)
        (tmp_path / "secret" / "key").write_bytes(b"key")
        (tmp_path / "run" / "link").symlink_to(tmp_path / "secret")
        # As a home or a shared disk often is.
        (tmp_path / "disk").symlink_to(tmp_path)
        return FileServer(f"{tmp_path}/disk/run", [f"{tmp_path}/disk/pixels"])

    def test_are_read_and_those_of_the_run_written(
        self, server: FileServer, tmp_path: Path
    ) -> None:
        trial = f"{tmp_path}/run/trials/00001"
        assert server.sizes(trial) == {"checkpoint.npz": 3}
        assert server.sizes(f"{tmp_path}/disk/pixels/images.npy") == {"": 10}
        assert server.read(f"{tmp_path}/pixels/images.npy", 4) == b"x" * 6
        server.write(f"{trial}/best.npz", [b"12", b"34"])
        assert server.sizes(trial) == {"best.npz": 4, "checkpoint.npz": 3}
        server.remove(f"{trial}/best.npz")
        server.remove(f"{trial}/best.npz")
        assert server.sizes(trial) == {"checkpoint.npz": 3}

    def test_are_no_others(self, server: FileServer, tmp_path: Path) -> None:
        for path in ("secret/key", "run/../secret/key", "run/link/key", "runs"):
            with pytest.raises(PermissionError, match="is no file of this search"):
                server.read(f"{tmp_path}/{path}", 0)
        for path in ("pixels/images.npy", "run/link/key"):
            with pytest.raises(PermissionError, match="is no file of this search"):
                server.write(f"{tmp_path}/{path}", [b""])
            with pytest.raises(PermissionError, match="is no file of this search"):
                server.remove(f"{tmp_path}/{path}")
        assert (tmp_path / "secret" / "key").read_bytes() == b"key"


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the driver's node has; other nodes have an empty folder in its place."""
    folder = tmp_path_factory.mktemp("of-driver")
    class_folders(folder / "photos")
    return folder


@pytest.fixture(scope="module")
def apart(shared_folder: Path) -> Iterator[Cluster]:
    with running_cluster(shared_folder) as found:
        yield found


def begin(cluster: Cluster, *words: str, token: str | None = None) -> subprocess.Popen[str]:
    """A command of a user on the head."""
    environment = {
        **os.environ,
        **cluster.environment,
        "AUTOML_IMG_CACHE": str(cluster.hidden / "cache-of-driver"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    if token is not None:
        environment |= {"RAY_AUTH_TOKEN": token}
    return subprocess.Popen(
        [sys.executable, "-m", "automl_img", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=cluster.hidden,
    )


def searched(cluster: Cluster, name: str, *more: str) -> list[str]:
    fixed = [word for value in _TINY for word in ("--fix", value)]
    return [
        *("search", "photos", "--space", "cnn", "--image-size", "32", "--name", name),
        *("--sampler", "random", "--address", cluster.address, *fixed, *more),
    ]


def until(true: Callable[[], bool], what: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _PATIENCE
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"waited for {what}: {process.communicate()[0]}")
        time.sleep(0.2)


def text_of(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=_PATIENCE)
    return said


def started(run: Run) -> list[int]:
    return [start.number for start in run.starts()] if (run.path / "run.json").exists() else []


@pytest.mark.slow
def test_trials_run_on_nodes_that_share_nothing_and_go_on_where_one_is_lost(
    apart: Cluster,
) -> None:
    node = apart.add_node()
    run = Run(apart.hidden / "runs" / "lost")
    words = searched(apart, "lost", "--budget", "3", "--max-epochs", "24")
    driver = begin(apart, *words)
    until(lambda: len(started(run)) >= 2, "two trials at a time", driver)
    there = Path(f"/proc/{node.pid}/root{apart.hidden}/cache-of-node")
    until(lambda: any(there.glob("trials/*/trials/*/*.npz")), "an epoch on the node", driver)
    # It had none of these, and sees no folder of the driver.
    assert any(there.glob("pixels/*/images.npy"))
    assert not (there.parent / "photos").exists()
    apart.lose(node)
    said = text_of(driver)
    assert driver.returncode == 0, said
    found = load_run(run.path)
    assert [each.number for each in found.trials() if each.origin != "repeat"] == [0, 1, 2]
    assert {each.state.value for each in found.trials()} <= {"complete", "pruned"}
    assert found.read_json("test.json")
    assert found.info["hardware"]["nodes"] == 2


@pytest.mark.slow
def test_a_driver_that_was_killed_is_followed_by_another_which_uses_a_node_that_joined(
    apart: Cluster,
) -> None:
    run = Run(apart.hidden / "runs" / "killed")
    words = searched(apart, "killed", "--budget", "4", "--max-epochs", "30")
    driver = begin(apart, *words)
    until(lambda: len(started(run)) >= 1, "a trial", driver)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    again = begin(apart, "resume", "killed")
    node = apart.add_node()
    there = Path(f"/proc/{node.pid}/root{apart.hidden}/cache-of-node")
    said = text_of(again)
    assert again.returncode == 0, said
    assert any(there.glob("pixels/*/images.npy")), said
    numbers = [each.number for each in load_run(run.path).trials() if each.origin != "repeat"]
    assert numbers[0] == 0
    assert len(numbers) == 4
    apart.lose(node)


@pytest.mark.slow
def test_a_node_without_room_for_the_pixels_is_left_and_its_trial_goes_to_another(
    apart: Cluster,
) -> None:
    node = apart.add_node(disk="100k")
    driver = begin(apart, *searched(apart, "left", "--budget", "3", "--max-epochs", "6"))
    said = " ".join(text_of(driver).split())
    apart.lose(node)
    assert driver.returncode == 0, said
    assert said.count("a node gets no trials of this search any more: ") == 1
    trials = [t for t in Run(apart.hidden / "runs" / "left").trials() if t.origin != "repeat"]
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert all(trial.epochs and trial.error is None for trial in trials)


@pytest.mark.slow
def test_a_wrong_token_is_one_sentence(apart: Cluster) -> None:
    refused = begin(apart, *searched(apart, "refused", "--budget", "1"), token="0" * 64)
    said = text_of(refused)
    assert refused.returncode == 2
    assert "asks for a token, but does not take what RAY_AUTH_TOKEN" in " ".join(said.split())
    assert "Traceback" not in said
    assert "0" * 64 not in said


@pytest.mark.slow
def test_the_doctor_lists_the_nodes(apart: Cluster) -> None:
    asked = begin(apart, "doctor", "--address", apart.address, "--json")
    found = json.loads(text_of(asked))
    assert [node["cores"] for node in found["nodes"]] == [1]
    assert found["nodes"][0]["cache_bytes"] > 0
    assert found["troubles"] == []
