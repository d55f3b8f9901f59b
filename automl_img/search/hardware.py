"""What this machine has."""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import psutil

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


def core_count() -> int:
    """Cores that this process may use, which in a container are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int:
    """Bytes that this process may still take: the machine's, or its container's where fewer."""
    free = [psutil.virtual_memory().available, *map(left_in_cgroup, _own_cgroups())]
    return int(min(free))


def free_bytes(folder: Path) -> int:
    """Bytes that may be written to ``folder``, which need not be there yet; 0 where none may."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free if os.access(folder, os.W_OK) else 0


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
    return sum(_gpu_sizes())


def smallest_gpu() -> int:
    """Bytes of memory of the smallest of these; 0 where unknown."""
    return min(_gpu_sizes(), default=0)


def _gpu_sizes() -> list[int]:
    try:
        return [int(float(mebibytes)) * 2**20 for mebibytes in _gpu_facts("memory.total")]
    except ValueError:
        return []


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


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a trial gives."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def cpu_name() -> str:
    return _cpu_fact("model name") or platform.processor() or platform.machine()


def _cpu_fact(name: str) -> str:
    """``name`` of the first core, as Linux on the x86 family tells it; "" elsewhere."""
    with suppress(OSError):
        for line in _CPU_FACTS.read_text(encoding="utf-8").splitlines():
            if line.partition(":")[0].strip() == name:
                return line.partition(":")[2].strip()
    return ""
