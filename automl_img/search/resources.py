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
# A worker is not worth starting on less: Keras and TensorFlow alone take half of it.
_LEAST_BYTES = 2 * 10**9
# Held by a worker before it trains: Python, Keras, TensorFlow, and what these keep.
_HELD_BYTES = 700_000_000
# The rest of a GPU is for the context of each process.
OF_GPU = 0.9


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

    def room_on(self, machines: Sequence[tuple[int, int]]) -> int:
        """How many trials find room on machines, each given by its cores and GPUs."""
        room = _room(machines, self.threads, self.gpus_per_trial)
        return room if self.most_workers is None else min(room, self.most_workers)

    @property
    def shares(self) -> int:
        """Shares of the cores, of which a trial has one; 1 with GPUs, as it is for those that
        trials wait."""
        return 1 if self.gpus_per_trial else self.workers

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
    on_gpus = bool(gpus) if gpus_per_trial is None else gpus_per_trial > 0
    free = available_memory()
    found = share_of(
        [(cores, gpus, free)],
        workers,
        gpus_per_trial,
        gpu_bytes=gpu_memory() if on_gpus else 0,
        precision=gpu_precision() if on_gpus else cpu_precision(),
    )
    # More workers than cores take turns.
    return dataclasses.replace(
        found,
        threads=max(1, cores // found.workers),
        memory_bytes=int(_FOR_WORKERS * free / found.workers),
        most_threads=0,
        most_workers=None,
    )


def share_of(
    machines: Sequence[tuple[int, int, int]],
    workers: int | None,
    gpus_per_trial: float | None,
    *,
    gpu_bytes: int,
    precision: str,
    address: str | None = None,
) -> Resources:
    """Share machines out.

    Args:
        machines: of each, cores, GPUs, and bytes of memory that are free.
        gpu_bytes, precision, address: see ``Resources``.

    Raises:
        SettingsError: more than there is.
    """
    where = "the cluster" if address else "this machine"
    gpus, most = sum(each for _, each, _ in machines), max(each for _, each, _ in machines)
    each = (1.0 if gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    if each > most:
        raise SettingsError(
            f"--gpus-per-trial may be at most the GPUs of {'a machine of ' if address else ''}"
            f"{where} ({most}), but got {each:g}"
        )
    asked = workers
    fit = sum(_trials_at_a_time(own, each) for _, own, _ in machines) if each else 0
    if workers is None:
        usual = sum(_workers_on(cores, free) for cores, _, free in machines)
        workers = max(1, fit) if each else usual
    if each and workers > fit:
        raise SettingsError(
            f"{workers} workers with {each:g} GPUs each need more than the {gpus} of {where}; "
            "ask for fewer --workers or less --gpus-per-trial"
        )
    sizes = [(cores, gpus) for cores, gpus, _ in machines]
    largest = max(cores for cores, _ in sizes)
    threads = max(
        (count for count in range(1, largest + 1) if _room(sizes, count, each) >= workers),
        default=1,
    )
    memory = min(
        free / max(1, min(workers, own // threads)) for own, _, free in machines if own >= threads
    )
    return Resources(
        workers=workers,
        threads=threads,
        gpus=gpus,
        gpus_per_trial=each,
        memory_bytes=int(_FOR_WORKERS * memory),
        gpu_bytes=gpu_bytes if each else 0,
        precision=precision,
        address=address,
        most_threads=largest,
        most_workers=asked,
        nodes=len(machines),
    )


def _workers_on(cores: int, free: int) -> int:
    """Workers without GPUs, as far as there is memory for their imports and a model each."""
    in_memory = free // _LEAST_BYTES
    return max(1, min(max(cores // 2, 2), cores, in_memory))


def _room(machines: Sequence[tuple[int, int]], threads: int, each: float) -> int:
    """Trials of so many threads and GPUs that fit on machines at a time."""
    fit = [cores // threads for cores, _ in machines]
    if each:
        fit = [
            min(own, _trials_at_a_time(m[1], each)) for own, m in zip(fit, machines, strict=True)
        ]
    return sum(fit)


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
