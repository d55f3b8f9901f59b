"""What this machine has, and how trials share it."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from automl_img.errors import SettingsError

_PACKAGES = ("automl-img", "keras", "tensorflow", "ray", "optuna", "keras-tuner", "numpy", "pillow")


@dataclass(frozen=True)
class Resources:
    """How trials share the machine.

    Attributes:
        workers: trials at a time.
        threads: CPU threads of each.
        gpus: GPUs of the machine.
        gpus_per_trial: a fraction lets trials share one.
    """

    workers: int
    threads: int
    gpus: int
    gpus_per_trial: float


def share(workers: int | None, gpus_per_trial: float | None) -> Resources:
    """Share the machine out: as asked, else one trial a GPU, else two cores a trial.

    Raises:
        SettingsError: more GPUs a trial than there are.
    """
    cores, gpus = core_count(), len(gpu_names())
    each = (1.0 if gpus else 0.0) if gpus_per_trial is None else gpus_per_trial
    if each > gpus:
        raise SettingsError(
            f"--gpus-per-trial may be at most the GPUs of this machine ({gpus}), but got {each:g}"
        )
    if workers is None:
        workers = max(1, _trials_at_a_time(gpus, each) if each else cores // 2)
    if each and workers > _trials_at_a_time(gpus, each):
        raise SettingsError(
            f"{workers} workers with {each:g} GPUs each need more than the {gpus} of this machine; "
            "ask for fewer --workers or less --gpus-per-trial"
        )
    return Resources(workers, max(1, cores // workers), gpus, each)


def _trials_at_a_time(gpus: int, each: float) -> int:
    """How many trials fit; a trial's fraction lies on one GPU."""
    return gpus * int(1 / each) if each < 1 else int(gpus / each)


def core_count() -> int:
    """Cores that this process may use, which in a container are fewer than the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_names() -> list[str]:
    """The names of the NVIDIA GPUs that this process may use; found without TensorFlow."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    names = [line.strip() for line in listed.stdout.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return names if visible is None else names[: len(visible.split(","))]


def describe_hardware(resources: Resources) -> dict[str, Any]:
    """The machine as ``run.json`` keeps it."""
    return {
        "cpu": _cpu_name(),
        "cores": core_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpus": gpu_names(),
        "workers": resources.workers,
        "threads_per_worker": resources.threads,
    }


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a trial gives."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
