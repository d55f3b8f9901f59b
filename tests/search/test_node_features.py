"""Features that another node of a cluster has computed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import NodeDiedError, RayTaskError

from automl_img.data.cache import NoRoom, built_once
from automl_img.errors import OutOfTime
from automl_img.search import node_features
from automl_img.search.file_server import PIECE, FileServer
from automl_img.search.node_features import FEATURES, NodeFeatures, read_features
from tests.search.nodes import running_cluster
from tests.search.test_shipping import Direct
from tests.training.test_features import frozen_trial
from tests.training.trials import with_

MB = 2**20
NAME = "key-rows"
EVICTED = RayTaskError("read_features", "", FileNotFoundError()).as_instanceof_cause()


@dataclass
class Answer:
    content: bytes | Exception
    seconds: float


@dataclass
class Wire:
    """The other nodes, in place of Ray, with a clock of their own.

    Attributes:
        features: in the cache of each of them.
        start: seconds until a node answers for the first time.
        speed: bytes a second.
        stalls: the byte from which on nothing comes any more.
        broken: what a node answers with.
        asked: nodes and sizes, in order.
    """

    features: Path
    start: float = 1.0
    speed: float = 100.0 * MB
    stalls: int = 2**62
    broken: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    now: float = 0.0

    def ask(self, node: str, path: str, start: int, size: int) -> Answer:
        self.asked.append((node, size))
        if node in self.broken:
            return Answer(self.broken[node], self.start)
        content = FileServer(str(self.features), ()).read(f"{self.features}/{path}", start, size)
        wait = 1e9 if start >= self.stalls else len(content) / self.speed
        return Answer(content, wait if size else self.start)

    def wait(self, answers: list[Answer], timeout: float) -> tuple[list[Answer], list[Answer]]:
        [answer] = answers
        self.now += min(timeout, answer.seconds)
        answer.seconds -= timeout
        return ([], answers) if answer.seconds > 0 else (answers, [])

    def get(self, answer: Any) -> Any:
        if isinstance(answer, Answer):
            if isinstance(answer.content, Exception):
                raise answer.content
            return answer.content
        return answer


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wire:
    found = Wire(tmp_path / "other")
    monkeypatch.setattr(node_features, "_asked", found.ask)
    monkeypatch.setattr(node_features.ray, "wait", found.wait)
    monkeypatch.setattr(node_features.ray, "get", found.get)
    monkeypatch.setattr(node_features, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.fixture
def server(tmp_path: Path) -> FileServer:
    return FileServer(str(tmp_path / "run"), ())


@pytest.fixture
def told(wire: Wire, server: FileServer) -> Callable[..., bytes]:
    """Lets nodes have the same features, and gives these."""

    def tell(seconds: float, size: int = 40 * MB, nodes: str = "b") -> bytes:
        content = np.random.default_rng(0).bytes(size)
        (wire.features / NAME).mkdir(parents=True)
        (wire.features / NAME / "features.npy").write_bytes(content)
        for node in nodes:
            meta = {"ms_per_image": 2.0, "seconds": seconds, "sizes": {"features.npy": size}}
            server.note(node, {NAME: meta})
        return content

    return tell


@pytest.fixture
def bring(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any] | None]:
    """Asks the other nodes, as node "a"."""
    monkeypatch.setattr(NodeFeatures, "_node", "a")

    def ask(look: Callable[[], None] = lambda: None) -> dict[str, Any] | None:
        others = NodeFeatures(Direct(server))
        return others.bring(NAME, tmp_path / "features.npy", look)

    return ask


Bring = Callable[..., dict[str, Any] | None]
Told = Callable[..., bytes]


def test_what_comes_faster_than_it_was_computed_is_fetched(
    told: Told, bring: Bring, wire: Wire, tmp_path: Path
) -> None:
    content = told(seconds=10.0)
    looked: list[float] = []
    meta = bring(lambda: looked.append(wire.now))
    assert (tmp_path / "features.npy").read_bytes() == content
    assert meta is not None
    assert meta["sizes"] == {"features.npy": len(content)}
    # The next node decides by what computing took, not by what fetching did.
    assert (meta["from"], meta["seconds"], meta["ms_per_image"]) == ("b", 10.0, 2.0)
    assert meta["transfer_seconds"] == pytest.approx(1.4)
    assert [size for _, size in wire.asked] == [0, MB, PIECE, PIECE]
    assert len(looked) >= len(wire.asked)


def test_what_would_take_longer_than_computing_is_given_up_after_a_small_piece(
    told: Told, bring: Bring, wire: Wire
) -> None:
    told(seconds=30.0)
    wire.speed = MB
    assert bring() is None
    assert [size for _, size in wire.asked] == [0, MB]
    assert wire.now == pytest.approx(2.0)


def test_a_slow_start_of_a_process_says_nothing_of_the_network(
    told: Told, bring: Bring, wire: Wire
) -> None:
    told(seconds=10.0)
    wire.start = 8.0
    assert bring() is not None


@pytest.mark.parametrize(
    ("start", "stalls", "most"), [(1e9, 0, 11), (1.0, 0, 12), (8.0, 0, 12), (1.0, MB, 13)]
)
def test_a_node_that_says_nothing_is_waited_for_as_long_as_computing_takes(
    told: Told, bring: Bring, wire: Wire, start: float, stalls: int, most: float
) -> None:
    told(seconds=10.0)
    wire.start, wire.stalls = start, stalls
    looked: list[float] = []
    assert bring(lambda: looked.append(wire.now)) is None
    assert 10.0 < wire.now <= most
    # A trial that waits is not taken to hang.
    assert len(looked) >= 10


@pytest.mark.parametrize("error", [NodeDiedError("gone"), EVICTED])
def test_where_a_node_or_its_features_are_gone_another_is_asked_else_they_are_computed(
    told: Told, bring: Bring, wire: Wire, error: Exception
) -> None:
    told(seconds=10.0, nodes="bc")
    wire.broken = {"b": error}
    meta = bring()
    assert meta is not None
    assert meta["from"] == "c"
    wire.broken["c"] = error
    assert bring() is None


def test_features_that_became_shorter_are_not_taken(told: Told, bring: Bring, wire: Wire) -> None:
    told(seconds=10.0, size=2 * MB)
    os.truncate(wire.features / NAME / "features.npy", MB)
    assert bring() is None


def test_what_was_computed_at_once_or_by_this_node_or_by_nobody_is_not_asked_for(
    told: Told, bring: Bring, wire: Wire, server: FileServer
) -> None:
    assert bring() is None
    told(seconds=0.9)
    assert bring() is None
    told_here = {**server.notes(NAME)["b"], "seconds": 100.0}
    server.note("a", {NAME: told_here})
    assert bring() is None
    # As features of earlier versions are.
    server.note("b", {NAME: {"sizes": told_here["sizes"]}})
    assert bring() is None
    assert wire.asked == []


def test_a_deadline_ends_a_transfer(told: Told, bring: Bring, wire: Wire) -> None:
    told(seconds=10.0)

    def look() -> None:
        if len(wire.asked) > 2:
            raise OutOfTime

    with pytest.raises(OutOfTime):
        bring(look)
    assert len(wire.asked) == 3


def test_what_does_not_fit_is_refused_before_anything_is_written(
    told: Told, bring: Bring, wire: Wire, server: FileServer, tmp_path: Path
) -> None:
    told(seconds=10.0, size=MB)
    server.note("b", {NAME: {"seconds": 10.0, "sizes": {"features.npy": 10**18}}})
    with pytest.raises(NoRoom):
        bring()
    assert wire.asked == []
    assert not (tmp_path / "features.npy").exists()


def test_a_node_tells_what_it_has_once(
    server: FileServer, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeFeatures, "_node", "a")
    here = NodeFeatures(Direct(server))
    here.tell("key", {"shape": [2, 8]})
    here.tell("key", {"shape": [9, 9]})
    assert server.notes("key") == {"a": {"shape": [2, 8]}}
    assert here.facts("key") is None
    monkeypatch.setattr(NodeFeatures, "_node", "b")
    assert NodeFeatures(Direct(server)).facts("key") == {"shape": [2, 8]}


def test_a_node_tells_what_earlier_searches_have_left_there(
    server: FileServer, wire: Wire, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeFeatures, "_node", "a")
    root = private_cache / FEATURES

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "features.npy").write_bytes(b"1234")
        return {"seconds": 3.0, "sizes": {"features.npy": 4}}

    meta = built_once(root / NAME, fill)
    built_once(root / "torn", fill)
    os.truncate(root / "torn" / "features.npy", 2)
    shutil.copytree(root / NAME, root / ".being-written")
    (root / "key.json").write_text('{"shape": [2, 8]}')
    NodeFeatures(Direct(server)).tell_all()
    assert server.notes(NAME) == {"a": meta}
    assert server.notes("key") == {"a": {"shape": [2, 8]}}
    assert server.notes("torn") == server.notes(".being-written") == {}


def test_a_node_gives_its_features_and_nothing_else(private_cache: Path) -> None:
    for name in (f"{FEATURES}/{NAME}/features.npy", "trials/token/best.npz"):
        (private_cache / name).parent.mkdir(parents=True)
        (private_cache / name).write_bytes(b"bytes")
    (private_cache / FEATURES / "link").symlink_to(private_cache / "trials")
    assert read_features(f"{NAME}/features.npy", 2, PIECE) == b"tes"
    for path in ("../trials/token/best.npz", "link/token/best.npz", "/etc/hostname"):
        with pytest.raises(PermissionError):
            read_features(path, 0, PIECE)


@pytest.mark.slow
def test_what_one_node_has_computed_another_fetches(tmp_path: Path, private_cache: Path) -> None:
    folder = tmp_path / "of-driver"
    spec = frozen_trial(folder, "vgg16", 19)
    (folder / "pixels-32-16" / "meta.json").write_text("{}")
    # What the nodes see must lie in what is hidden from one of them.
    weights, run = folder / "vgg16.weights.h5", folder / "run"
    shutil.copy(str(spec.weights), weights)
    (run / "trials" / "00001").mkdir(parents=True)
    shutil.copy(spec.rows, run / "rows.npz")
    own = {"weights": str(weights), "rows": str(run / "rows.npz"), "max_epochs": 1}
    spec = with_(spec, run / "trials" / "00001", **own)
    (tmp_path / "spec.json").write_text(json.dumps(asdict(spec)))
    with running_cluster(folder) as cluster:
        cluster.add_node()
        found = driven(cluster.address, cluster.environment, tmp_path / "spec.json")
    computed, fetched = found["computed"], found["fetched"]
    # The training images, the validation images, and what was put there.
    assert len(computed) == 3
    assert computed.keys() == fetched.keys()
    for name, meta in fetched.items():
        assert meta["digest"] == computed[name]["digest"]
        assert meta["sizes"] == computed[name]["sizes"]
        assert (meta["from"], computed[name].get("from")) == (found["other"], None)
        assert computed[name]["seconds"] > 0
    # Neither what was removed there, nor what a lost node had; and nobody waited for that.
    assert found["given"] == [True, False, False]
    assert found["seconds"] < 60
    (first, *_, end), (again, *_, last) = found["said"]
    assert (end["ended"], last["ended"]) == ("finished", "finished")
    assert again["result"]["loss"] == pytest.approx(first["result"]["loss"], rel=1e-6)
    # It has not even built the frozen part.
    assert (first["graphs_traced"], again["graphs_traced"]) == (3, 2)
    assert again["parameters"] == first["parameters"]


def driven(address: str, environment: dict[str, str], spec: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.search.features_on_nodes", address, str(spec)],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
