"""How trials share this machine, or the machines of a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from automl_img.errors import SettingsError
from automl_img.models.backbones import family_of
from automl_img.search.hardware import (
    available_memory,
    core_count,
    cpu_name,
    cpu_precision,
    describe_versions,
    gpu_memory,
    gpu_names,
    gpu_precision,
)

# Of the memory that is free as a search starts; the rest is for the driver and what else runs.
_FOR_WORKERS = 0.8
# Of the memory that a node gives away: one that joins with a little less takes as many trials.
_OF_A_NODE = 0.7
# A worker is not worth starting on less: Keras and TensorFlow alone take half of it.
_LEAST_BYTES = 2 * 10**9
# Held by a worker before it trains: Python, Keras, TensorFlow, and what these keep.
_HELD_BYTES = 700_000_000
# The rest of a GPU is for the context of each process.
OF_GPU = 0.9


@dataclass(frozen=True)
class NodeSize:
    """What a node of a cluster gives away: cores, GPUs and bytes of memory."""

    cores: int
    gpus: int
    memory: int

    def room(self, threads: int, gpus: float, memory: int) -> int:
        """How many trials find room that ask for so much each."""
        room = self.cores // threads
        if gpus:
            room = min(room, _trials_at_a_time(self.gpus, gpus))
        return min(room, self.memory // memory) if memory else room


@dataclass(frozen=True)
class Resources:
    """How trials share the machine, or the machines of a cluster.

    Attributes:
        workers: trials at a time.
        threads: CPU threads of each.
        gpus: GPUs of all machines.
        gpus_per_trial: a fraction lets trials share one.
        memory_bytes: main memory that a worker may hold for itself.
        gpu_bytes: memory of all GPUs together; 0 where it is not known.
        precision: the policy of Keras that makes training steps faster, see ``gpu_precision`` and
            ``cpu_precision``; that of a trial: ``precision_of``.
        address: of the Ray cluster; None for this machine alone.
        most_threads: of a trial that has a machine for itself; 0 for the threads of all workers.
        most_workers: that were asked for; on a cluster None lets those grow with it.
        nodes: on which trials may run, as the session begins.
    """

    workers: int
    threads: int
    gpus: int
    gpus_per_trial: float
    memory_bytes: int = 0
    gpu_bytes: int = 0
    precision: str = "float32"
    address: str | None = None
    most_threads: int = 0
    most_workers: int | None = None
    nodes: int = 1

    @property
    def threads_alone(self) -> int:
        """CPU threads of a trial that has a machine for itself."""
        return self.most_threads or self.threads * self.workers

    @property
    def machine(self) -> NodeSize:
        """What all trials on this machine have together."""
        cores, memory = self.workers * self.threads, self.workers * self.memory_bytes
        return NodeSize(cores, self.gpus, memory)

    def room_on(self, nodes: Sequence[NodeSize], threads: int | None = None) -> int:
        """How many trials find room on ``nodes``.

        Args:
            threads: of each; None takes ``threads``.
        """
        asked = threads or self.threads, self.gpus_per_trial, self.memory_bytes
        room = sum(node.room(*asked) for node in nodes)
        return room if self.most_workers is None else min(room, self.most_workers)

    def most_shares_on(self, nodes: Sequence[NodeSize], threads: int) -> int:
        """How many shares a trial may have for which one is too small: those of one of ``nodes``,
        and of one GPU, as no network is spread over several.

        Args:
            threads: of a share.
        """
        asked = threads, self.gpus_per_trial, self.memory_bytes
        most = max((node.room(*asked) for node in nodes), default=1)
        if self.gpus_per_trial:
            most = min(most, int(1 / self.gpus_per_trial))
        return max(1, most)

    @property
    def shares(self) -> int:
        """Shares of the cores of a machine, of which a trial has one; 1 with GPUs, as it is for
        those that trials wait."""
        return 1 if self.gpus_per_trial else max(1, self.threads_alone // self.threads)

    @property
    def most_shares(self) -> int:
        """Shares of the largest machine, or of one GPU: what one trial may have at the most."""
        return max(1, int(1 / self.gpus_per_trial)) if self.gpus_per_trial else self.shares

    @property
    def trial_bytes(self) -> int:
        """Memory that a trial may take: of its share of a GPU, else of its worker; 0 if unknown."""
        if not self.gpus_per_trial:
            return self.memory_bytes
        share = min(1.0, self.gpus_per_trial) / max(1, self.gpus)
        return int(OF_GPU * share * self.gpu_bytes)

    @property
    def held_bytes(self) -> int:
        """What of ``trial_bytes`` a process holds before it trains anything."""
        return 0 if self.gpus_per_trial else _HELD_BYTES

    def precision_of(self, backbone: str) -> str:
        """The policy of Keras for the training steps of ``backbone``."""
        if self.gpus_per_trial or family_of(backbone).BFLOAT16_ON_CPU:
            return self.precision
        return "float32"


def share(workers: int | None, gpus_per_trial: float | None) -> Resources:
    """Share the machine out: as asked, else one trial a GPU, else two cores a trial, but two trials
    on two cores, where each needs half of them (measured: docs/benchmarks.md, ``workers.py``).

    Raises:
        SettingsError: more GPUs a trial than there are.
    """
    cores, gpus = core_count(), len(gpu_names())
    each = _gpus_of_a_trial(gpus_per_trial, gpus, gpus, "this machine")
    free = available_memory()
    if workers is None:
        workers = max(1, _trials_at_a_time(gpus, each)) if each else _workers_on(cores, free)
    if each and workers > _trials_at_a_time(gpus, each):
        raise SettingsError(
            f"{workers} workers with {each:g} GPUs each need more than the {gpus} of this machine; "
            "ask for fewer --workers or less --gpus-per-trial"
        )
    return Resources(
        workers=workers,
        # More workers than cores take turns.
        threads=max(1, cores // workers),
        gpus=gpus,
        gpus_per_trial=each,
        memory_bytes=int(_FOR_WORKERS * free / workers),
        gpu_bytes=gpu_memory() if each else 0,
        precision=gpu_precision() if each else cpu_precision(),
    )


def share_nodes(
    nodes: Sequence[NodeSize],
    workers: int | None,
    gpus_per_trial: float | None,
    *,
    gpu_bytes: int,
    precision: str,
    address: str,
) -> Resources:
    """Share the nodes of a cluster out: as many trials as find room, each with the threads that the
    largest node would give it by itself; or where workers were asked for, with the most threads
    with which so many find room.

    Args:
        gpu_bytes, precision, address: see ``Resources``.

    Raises:
        SettingsError: more than there is.
    """
    gpus, most = sum(node.gpus for node in nodes), max(node.gpus for node in nodes)
    each = _gpus_of_a_trial(gpus_per_trial, gpus, most, "a node of the cluster")
    able = [node for node in nodes if node.gpus or not each]
    largest = max(able, key=lambda node: (node.cores, node.memory))
    at_a_time = (
        _trials_at_a_time(largest.gpus, each)
        if each
        else _workers_on(largest.cores, largest.memory)
    )
    threads = max(1, largest.cores // max(1, at_a_time))
    if workers is not None:
        enough = [
            count
            for count in range(1, largest.cores + 1)
            if sum(node.room(count, each, 0) for node in able) >= workers
        ]
        if not enough:
            room = sum(node.room(1, each, 0) for node in able)
            raise SettingsError(
                f"--workers may be at most the trials that find room on the cluster ({room}), but "
                f"is {workers}; ask for fewer, or for less --gpus-per-trial"
            )
        threads = enough[-1]
    memory = _memory_of_a_trial(able, largest, threads, each)
    found = Resources(
        workers=1,
        threads=threads,
        gpus=gpus,
        gpus_per_trial=each,
        memory_bytes=memory,
        gpu_bytes=gpu_bytes if each else 0,
        precision=precision,
        address=address,
        most_threads=largest.cores,
        most_workers=workers,
        nodes=len(nodes),
    )
    return dataclasses.replace(found, workers=max(1, found.room_on(nodes)))


def _gpus_of_a_trial(asked: float | None, gpus: int, most: int, where: str) -> float:
    each = (1.0 if gpus else 0.0) if asked is None else asked
    if each > most:
        raise SettingsError(
            f"--gpus-per-trial may be at most the GPUs of {where} ({most}), but got {each:g}"
        )
    return each


def _memory_of_a_trial(
    nodes: Sequence[NodeSize], largest: NodeSize, threads: int, each: float
) -> int:
    """Bytes that each trial may have: so much that as many as the cores allow find room on the
    largest node and on those that are like it; one with less than half of that runs fewer."""
    shares = []
    for node in (largest, *nodes):
        if trials := node.room(threads, each, 0):
            shares.append(node.memory / trials)
    smallest = min((share for share in shares if share >= 0.5 * shares[0]), default=0)
    return int(_OF_A_NODE * smallest)


def _workers_on(cores: int, free: int) -> int:
    """Workers without GPUs, as far as there is memory for their imports and a model each."""
    in_memory = free // _LEAST_BYTES
    return max(1, min(max(cores // 2, 2), cores, in_memory))


def _trials_at_a_time(gpus: int, each: float) -> int:
    """How many trials fit; a trial's fraction lies on one GPU."""
    return gpus * int(1 / each) if each < 1 else int(gpus / each)


def describe_hardware(resources: Resources) -> dict[str, Any]:
    """The machine, and of a cluster how many nodes, as ``run.json`` keeps it."""
    return {
        "cpu": cpu_name(),
        "cores": core_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": gpu_names(),
        **({"nodes": resources.nodes} if resources.address else {}),
        "workers": resources.workers,
        "threads_per_worker": resources.threads,
        "precision": resources.precision,
    }


def machine_of(resources: Resources) -> dict[str, Any]:
    """What decides the bits that a trial gives, as ``run.json`` keeps it of each session."""
    return {"versions": describe_versions(), "hardware": describe_hardware(resources)}
