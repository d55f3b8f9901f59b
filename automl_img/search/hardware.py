"""What this machine has, and how trials share it."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from automl_img.errors import SettingsError
from automl_img.models.backbones import family_of

# Of the memory that is free as a search starts; the rest is for the driver and what else runs.
_FOR_WORKERS = 0.8
# A worker is not worth starting on less: Keras and TensorFlow alone take half of it.
_LEAST_BYTES = 2 * 10**9
# Held by a worker before it trains: Python, Keras, TensorFlow, and what these keep.
_HELD_BYTES = 700_000_000
# The rest of a GPU is for the context of each process.
OF_GPU = 0.9
# The first NVIDIA GPUs that are fast in bfloat16.
_BFLOAT16_CAPABILITY = 8.0
# Of processors of the x86 family that multiply in bfloat16, as Linux names it.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_CPU_FACTS = Path("/proc/cpuinfo")
_KERNEL_COUNTS = Path("/proc/vmstat")
# The same in control groups, of version 2, then of version 1.
_CGROUP_COUNTS = ("memory.events", "memory.oom_control")
_CGROUPS = Path("/sys/fs/cgroup")
# (limit, use, what of the use is only cache) of version 2, then of version 1.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_PACKAGES = ("automl-img", "keras", "tensorflow", "ray", "optuna", "keras-tuner", "numpy", "pillow")


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

    @property
    def threads_alone(self) -> int:
        """CPU threads of a trial that has a machine for itself."""
        return self.most_threads or self.threads * self.workers

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
    fit = sum(_trials_at_a_time(own, each) for _, own, _ in machines) if each else 0
    if workers is None:
        usual = sum(_workers_on(cores, free) for cores, _, free in machines)
        workers = max(1, fit) if each else usual
    if each and workers > fit:
        raise SettingsError(
            f"{workers} workers with {each:g} GPUs each need more than the {gpus} of {where}; "
            "ask for fewer --workers or less --gpus-per-trial"
        )
    cores = [own for own, _, _ in machines]
    threads = max(
        (each for each in range(1, max(cores) + 1) if sum(own // each for own in cores) >= workers),
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
        most_threads=max(cores),
    )


def _workers_on(cores: int, free: int) -> int:
    """Workers without GPUs, as far as there is memory for their imports and a model each."""
    in_memory = free // _LEAST_BYTES
    return max(1, min(max(cores // 2, 2), cores, in_memory))


def _trials_at_a_time(gpus: int, each: float) -> int:
    """How many trials fit; a trial's fraction lies on one GPU."""
    return gpus * int(1 / each) if each < 1 else int(gpus / each)


def core_count() -> int:
    """Cores that this process may use, which in a container are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes that this process may still take: the machine's, or its container's where fewer."""
    free = [psutil.virtual_memory().available, *map(left_in_cgroup, _own_cgroups())]
    return int(min(free))


def own_memory() -> int:
    """Bytes that this process holds for itself alone.

    Pages of mapped files count as resident too, but images that are mapped cost nothing: the
    system takes their pages back when it needs them.
    """
    process = psutil.Process()
    memory = process.memory_info()
    if hasattr(memory, "shared"):
        return int(memory.rss - memory.shared)
    return int(process.memory_full_info().uss)


def out_of_memory_kills() -> int:
    """How many processes the system has killed for want of memory so far: in the control group of
    this process, where there is one, else on the machine; 0 where it does not tell (Linux does)."""
    counts = [group / name for group in _own_cgroups() for name in _CGROUP_COUNTS]
    for path in (*counts, _KERNEL_COUNTS):
        with suppress(OSError, ValueError, KeyError):
            lines = path.read_text(encoding="utf-8").splitlines()
            return int(dict(line.split() for line in lines)["oom_kill"])
    return 0


def _own_cgroups() -> list[Path]:
    """The control groups that may bound this process; a container sees its own as the root."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _CGROUPS / "memory" if controllers else _CGROUPS
        inner = root / path.lstrip("/")
        found += [inner, *(outer for outer in inner.parents if outer.is_relative_to(root))]
    return found


def left_in_cgroup(folder: Path) -> float:
    """Bytes that processes in the control group ``folder`` may still take; infinite where free.

    What files leave in memory is not counted as taken: it goes when memory is needed.
    """
    for limit, use, cache in _CGROUP_FILES:
        with suppress(OSError, ValueError, KeyError):
            most = int((folder / limit).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
            reclaimable = int(dict(line.split() for line in lines)[cache])
            return max(0, most - int((folder / use).read_text()) + reclaimable)
    return math.inf


def gpu_names() -> list[str]:
    """The names of the NVIDIA GPUs that this process may use; found without TensorFlow."""
    return _gpu_facts("name")


def gpu_memory() -> int:
    """Bytes of memory of the GPUs that this process may use, together; 0 where unknown."""
    try:
        return sum(int(float(mebibytes)) * 2**20 for mebibytes in _gpu_facts("memory.total"))
    except ValueError:
        return 0


def gpu_precision() -> str:
    """The policy of Keras for training steps on GPUs: "mixed_bfloat16" where each that this process
    may use is made for it (compute capability 8.0 and up), else "float32".
    """
    try:
        capabilities = [float(value) for value in _gpu_facts("compute_cap")]
    except ValueError:
        return "float32"
    made_for_it = capabilities and min(capabilities) >= _BFLOAT16_CAPABILITY
    return "mixed_bfloat16" if made_for_it else "float32"


def cpu_precision() -> str:
    """The same for the CPU: "mixed_bfloat16" where it multiplies in bfloat16, as far as Linux
    tells, else "float32"."""
    made_for_it = _BFLOAT16_FLAGS & set(_cpu_fact("flags").split())
    return "mixed_bfloat16" if made_for_it else "float32"


def _gpu_facts(field: str) -> list[str]:
    """``field`` of each NVIDIA GPU that this process may use, as nvidia-smi tells it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        return []
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    facts = [line.strip() for line in listed.stdout.splitlines() if line.strip()]
    if visible is None:
        return facts
    chosen = [name.strip() for name in visible.split(",")]
    if all(name.isdigit() for name in chosen):
        return [facts[int(name)] for name in chosen if int(name) < len(facts)]
    return facts[: len(chosen)]


def describe_hardware(resources: Resources) -> dict[str, Any]:
    """The machine as ``run.json`` keeps it."""
    return {
        "cpu": _cpu_name(),
        "cores": core_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": gpu_names(),
        "workers": resources.workers,
        "threads_per_worker": resources.threads,
        "precision": resources.precision,
    }


def machine_of(resources: Resources) -> dict[str, Any]:
    """What decides the bits that a trial gives, as ``run.json`` keeps it of each session."""
    return {"versions": describe_versions(), "hardware": describe_hardware(resources)}


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a trial gives."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _cpu_name() -> str:
    return _cpu_fact("model name") or platform.processor() or platform.machine()


def _cpu_fact(name: str) -> str:
    """``name`` of the first core, as Linux on the x86 family tells it; "" elsewhere."""
    with suppress(OSError):
        for line in _CPU_FACTS.read_text(encoding="utf-8").splitlines():
            if line.partition(":")[0].strip() == name:
                return line.partition(":")[2].strip()
    return ""
