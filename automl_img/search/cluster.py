"""A Ray cluster that runs already: what its nodes have, and whether a search can use them.

The driver stays on the node where it was started, with the run folder. What a trial needs and its
node does not have comes from there (``automl_img.search.shipping``), so nodes share nothing.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from automl_img.data.cache import cache_root
from automl_img.errors import SettingsError
from automl_img.search.hardware import (
    available_memory,
    core_count,
    cpu_precision,
    describe_versions,
    free_bytes,
    gpu_names,
    gpu_precision,
    smallest_gpu,
)
from automl_img.search.interrupts import keeping_signals
from automl_img.search.resources import NodeSize, Resources, share, share_nodes
from automl_img.search.tokens import FILE, MODE, TOKEN, TOKEN_PATH, show_token
from automl_img.settings import SearchSettings

# Seconds: a node answers in a few, but a new one imports for the first time.
_ANSWER = 120.0
_CONNECT = 5.0
# Other versions of these give other numbers, or do not understand each other.
SAME = ("python", "automl-img", "ray", "keras", "tensorflow", "numpy")


@dataclass(frozen=True)
class Node:
    """A node as it sees itself.

    Attributes:
        name: its host, and its address in the cluster.
        cores: that Ray may give away there; with 0 no trial runs on it.
        gpus: the same.
        gpu_names: of the GPUs that are there.
        memory_bytes: that Ray may give away there.
        gpu_bytes: of the smallest of its GPUs; 0 where it is not known.
        precision: see ``Resources``.
        versions: of Python and packages, by name.
        cache: the root of its cache.
        cache_bytes: that are free on the disk of it; 0 where it cannot be written.
    """

    name: str
    cores: int
    gpus: int
    gpu_names: tuple[str, ...]
    memory_bytes: int
    gpu_bytes: int
    precision: str
    versions: Mapping[str, str]
    cache: str
    cache_bytes: int


def resources_of(settings: SearchSettings) -> Resources:
    """How trials share this machine, or the cluster that ``settings`` name.

    Raises:
        SettingsError: more is asked for than there is, or the cluster cannot be used.
    """
    if settings.address == "local":
        return share(settings.workers, settings.gpus_per_trial)
    return share_cluster(settings.address, settings.workers, settings.gpus_per_trial)


def refuse_streams(resources: Resources, streamed: bool) -> None:
    """
    Args:
        streamed: whether images are decoded anew in each epoch, from files of this machine.

    Raises:
        SettingsError: other nodes do not have these.
    """
    if streamed and resources.address is not None:
        raise SettingsError(
            "on a cluster the pixels of all images must fit into the cache of each node, but they "
            "do not fit here; give a smaller --image-size, or set AUTOML_IMG_CACHE to a larger "
            "disk on every node"
        )


def share_cluster(address: str, workers: int | None, gpus_per_trial: float | None) -> Resources:
    """How trials share the cluster at ``address``.

    Args:
        address: "auto" for the one that this machine is a node of, or "HOST:PORT" of its head.

    Raises:
        SettingsError: there is no such cluster, its nodes have other versions, or more is asked for
            than there is.
    """
    nodes = nodes_of(address)
    able = [node for node in nodes if node.cores]
    if not able:
        raise SettingsError(
            f"the cluster at {address} must have a node with a CPU to give away, but none of "
            f"{len(nodes)} has; start one with ray start --address"
        )
    if wrong := [sentence for node in able for sentence in troubles(node)]:
        raise SettingsError(wrong[0])
    return share_nodes(
        [NodeSize(node.cores, node.gpus, node.memory_bytes) for node in able],
        workers,
        gpus_per_trial,
        gpu_bytes=_gpu_bytes(able),
        precision=_precision(able, gpus_per_trial),
        address=address,
    )


def troubles(node: Node) -> list[str]:
    """A sentence for each thing that keeps trials from running on ``node`` as they would here."""
    here = describe_versions()
    found = [
        f"every node must have {name} {here[name]}, as this process has, but {node.name} has "
        f"{node.versions.get(name) or 'none'}; install it there, or start the nodes from one image"
        for name in SAME
        if node.versions.get(name) != here[name]
    ]
    if not node.cache_bytes:
        found.append(
            f"every node must have a cache that can be written, but {node.cache} of {node.name} "
            "cannot; set AUTOML_IMG_CACHE where its Ray is started"
        )
    return found


def nodes_of(address: str) -> list[Node]:
    """The nodes of a cluster, by their names.

    Raises:
        SettingsError: there is no cluster at ``address``, or a node does not answer.
    """
    # Ray prints there of nodes that died lately, and what is asked for may be for programs.
    with redirect_stdout(sys.stderr), connected(address) as ray:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        alive = [node for node in ray.nodes() if node["Alive"]]
        look = ray.remote(num_cpus=0, max_retries=0)(_look)
        asked = [
            look.options(
                # A node may be gone by now: then another answers, which is seen by its number.
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True)
            ).remote(node["NodeManagerAddress"], node["Resources"])
            for node in alive
        ]
        found = [_answer(ray, *each) for each in zip(asked, alive, strict=True)]
        return sorted(filter(None, found), key=lambda node: node.name)


def _answer(ray: Any, asked: Any, node: Mapping[str, Any]) -> Node | None:
    try:
        number, found = ray.get(asked, timeout=_ANSWER)
    except Exception as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        raise SettingsError(
            f"every node must have automl-img installed and answer, but {name} says: {last[:200]}"
        ) from None
    return found if number == node["NodeID"] else None


def this_machine() -> Node:
    """This machine, as a search without a cluster uses it."""
    return _node(socket.gethostname(), core_count(), len(gpu_names()), available_memory())


def _look(address: str, resources: Mapping[str, float]) -> tuple[str, Node]:
    """Runs on a node; gives Ray's number of it too."""
    import ray

    name = f"{socket.gethostname()} ({address})"
    cpus, gpus, memory = (int(resources.get(key, 0)) for key in ("CPU", "GPU", "memory"))
    return ray.get_runtime_context().get_node_id(), _node(name, cpus, gpus, memory)


def _node(name: str, cores: int, gpus: int, memory: int) -> Node:
    cache = cache_root()
    return Node(
        name=name,
        cores=cores,
        gpus=gpus,
        gpu_names=tuple(gpu_names()),
        memory_bytes=memory,
        gpu_bytes=smallest_gpu() if gpus else 0,
        precision=gpu_precision() if gpus else cpu_precision(),
        versions=describe_versions(),
        cache=str(cache),
        cache_bytes=free_bytes(cache),
    )


@contextmanager
def connected(address: str, **options: Any) -> Iterator[Any]:
    """The module ``ray``, connected to the cluster at ``address`` for as long as the block lasts.

    Args:
        options: more of ``ray.init``.

    Raises:
        SettingsError: there is no cluster, it wants another token, or Ray runs in this process.
    """
    _refuse_silence(address)
    import logging

    import ray

    if ray.is_initialized():
        raise SettingsError("Ray runs in this process already; call ray.shutdown() before a search")
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    show_token()
    quiet = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    try:
        with keeping_signals():
            ray.init(address=address, **{**quiet, **options})
    except Exception as error:
        ray.shutdown()
        raise SettingsError(_why_not(address, error)) from None
    try:
        yield ray
    finally:
        with keeping_signals():
            ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Ray itself tries for minutes where nobody listens."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal() or int(port) > 65535 or "/" in host:
        raise SettingsError(
            "--address must be local, auto or HOST:PORT of the head of a Ray cluster, but is "
            f"{address!r}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
    except (OSError, UnicodeError) as error:
        raise SettingsError(_why_not(address, error)) from None


def _why_not(address: str, error: BaseException) -> str:
    said = str(error)
    cause = error.__cause__ or error.__context__
    if "token" in f"{said} {cause}".lower():
        return (
            f"the Ray cluster at {address!r} asks for a token, but does not take what "
            f"{TOKEN}, {TOKEN_PATH} or ~/{FILE} gives; use that of its head, "
            f"and set {MODE}=token"
        )
    last = (said.strip().splitlines() or [type(error).__name__])[0]
    return (
        f"--address must be that of a Ray cluster which this machine is a node of, but at "
        f"{address!r} there is none to be had ({last[:200]}); start one with ray start --head, or "
        "join it with ray start --address"
    )


def _gpu_bytes(nodes: Sequence[Node]) -> int:
    """Of all GPUs together, as if each were as the smallest: a trial may come to any of them."""
    with_gpus = [node for node in nodes if node.gpus]
    smallest = min((node.gpu_bytes for node in with_gpus), default=0)
    return smallest * sum(node.gpus for node in with_gpus)


def _precision(nodes: Sequence[Node], gpus_per_trial: float | None) -> str:
    on_gpus = gpus_per_trial != 0 and any(node.gpus for node in nodes)
    used = [node for node in nodes if node.gpus] if on_gpus else nodes
    kinds = {node.precision for node in used}
    return kinds.pop() if len(kinds) == 1 else "float32"
