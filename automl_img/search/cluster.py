"""A Ray cluster that runs already: what its nodes have, and whether a search can use them.

The driver stays where it was started. Run folder and cache must lie on storage that every node sees
under the same path, as trials read images from the one and write checkpoints to the other.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_img.data.cache import cache_root
from automl_img.errors import SettingsError
from automl_img.files import write_text
from automl_img.search.hardware import (
    Resources,
    available_memory,
    cpu_precision,
    describe_versions,
    gpu_memory,
    gpu_precision,
    share_of,
)

# Seconds: a node answers in one, but a new one imports for the first time.
_ANSWER = 120.0
# Other versions of these give other numbers, or do not understand each other.
_SAME = ("python", "automl-img", "ray", "keras", "tensorflow")


@dataclass(frozen=True)
class Node:
    """A node as it sees itself.

    Attributes:
        name: of its host.
        cores: that Ray may give away there; with 0 no trial runs on it.
        gpus: the same.
        memory_bytes: that were free.
        gpu_bytes: of all of its GPUs.
        precision: see ``Resources``.
        versions: of Python and packages, by name.
        unseen: folders of the search that it does not see.
    """

    name: str
    cores: int
    gpus: int
    memory_bytes: int
    gpu_bytes: int
    precision: str
    versions: Mapping[str, str]
    unseen: tuple[str, ...]


def share_cluster(
    address: str, workers: int | None, gpus_per_trial: float | None, out: Path
) -> Resources:
    """How trials share the cluster at ``address``.

    Args:
        address: as ``ray.init`` takes it: "auto" for the one that this machine is a node of, or
            "HOST:PORT" of its head.
        out: the folder of the run.

    Raises:
        SettingsError: there is no such cluster, a node has other versions or does not see the
            folders, or more is asked for than there is.
    """
    nodes = nodes_of(address, [out, cache_root()])
    check(nodes)
    return share_of(
        [(node.cores, node.gpus, node.memory_bytes) for node in nodes],
        workers,
        gpus_per_trial,
        gpu_bytes=sum(node.gpu_bytes for node in nodes),
        precision=_precision(nodes, gpus_per_trial),
        address=address,
    )


def check(nodes: Sequence[Node]) -> None:
    """
    Raises:
        SettingsError: trials cannot run on each of ``nodes`` as they would here.
    """
    here = describe_versions()
    for node in nodes:
        for name in _SAME:
            if node.versions.get(name) != here[name]:
                raise SettingsError(
                    f"every node must have {name} {here[name]}, as this process has, but "
                    f"{node.name} has {node.versions.get(name) or 'none'}; install it there, or "
                    "start the nodes from one image"
                )
        if node.unseen:
            raise SettingsError(
                f"every node must see {node.unseen[0]}, but {node.name} does not; put --out and "
                "AUTOML_IMG_CACHE on storage that all nodes share, under the same path"
            )


def nodes_of(address: str, folders: Sequence[Path]) -> list[Node]:
    """The nodes of a cluster on which trials may run, by their names.

    Raises:
        SettingsError: there is no cluster at ``address``, or a node does not answer.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with _connected(address), _tokens(folders) as tokens:
        alive = [node for node in ray.nodes() if node["Alive"]]
        able = [node for node in alive if node["Resources"].get("CPU", 0) >= 1]
        if not able:
            raise SettingsError(
                f"the cluster at {address} must have a node with a CPU, but none of {len(alive)} "
                "has; start one with ray start --address"
            )
        look = ray.remote(num_cpus=0, max_retries=0)(_look)
        asked = [
            look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(node["Resources"], tokens)
            for node in able
        ]
        names = [str(node["NodeManagerHostname"]) for node in able]
        return [
            _answer(ray, each, name) for each, name in sorted(zip(asked, names), key=lambda x: x[1])
        ]


def _answer(ray: Any, asked: Any, name: str) -> Node:
    try:
        found: Node = ray.get(asked, timeout=_ANSWER)
    except Exception as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise SettingsError(
            f"every node must have automl-img installed and answer, but {name} says: {last[:200]}"
        ) from None
    return found


def _look(resources: Mapping[str, float], tokens: Mapping[str, str]) -> Node:
    """Runs on a node."""
    gpus = int(resources.get("GPU", 0))
    unseen = []
    for path, token in tokens.items():
        seen = ""
        with suppress(OSError):
            seen = Path(path).read_text(encoding="ascii")
        if seen != token:
            unseen.append(str(Path(path).parent))
    return Node(
        socket.gethostname(),
        int(resources.get("CPU", 0)),
        gpus,
        available_memory(),
        gpu_memory() if gpus else 0,
        gpu_precision() if gpus else cpu_precision(),
        describe_versions(),
        tuple(unseen),
    )


@contextmanager
def _tokens(folders: Sequence[Path]) -> Iterator[dict[str, str]]:
    """A file in each folder with something that nobody else can have written."""
    tokens = {}
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            token = uuid.uuid4().hex
            path = folder.absolute() / f".seen-{token}"
            write_text(path, token)
            tokens[str(path)] = token
        yield tokens
    finally:
        for path in tokens:
            Path(path).unlink(missing_ok=True)


@contextmanager
def _connected(address: str) -> Iterator[None]:
    import logging

    import ray

    if ray.is_initialized():
        raise SettingsError("Ray runs in this process already; call ray.shutdown() before a search")
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
    except Exception as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            f"--address must be that of a Ray cluster that runs, but at {address!r} there is none "
            f"to be had ({last[:200]}); start one with ray start --head"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _precision(nodes: Sequence[Node], gpus_per_trial: float | None) -> str:
    on_gpus = gpus_per_trial != 0 and any(node.gpus for node in nodes)
    used = [node for node in nodes if node.gpus] if on_gpus else nodes
    kinds = {node.precision for node in used}
    return kinds.pop() if len(kinds) == 1 else "float32"
