from __future__ import annotations

import math
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from automl_img.errors import SettingsError
from automl_img.search import hardware, resources
from automl_img.search.hardware import (
    available_memory,
    cpu_precision,
    gpu_memory,
    gpu_names,
    gpu_precision,
    left_in_cgroup,
    own_memory,
)
from automl_img.search.resources import describe_hardware, share

MACHINE = {
    "name": ["NVIDIA A", "NVIDIA B"],
    "memory.total": ["24576", "8192"],
    "compute_cap": ["8.9", "7.5"],
}


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``nvidia-smi`` of ours that answers what the files beside it hold, a line a GPU."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'field="{tmp_path}/bin/${{1#--query-gpu=}}"\n'
        '[ "$2" = "--format=csv,noheader,nounits" ] && [ -f "$field" ] && exec cat "$field"\n'
        'echo "Field \\"$1\\" is not a valid field to query."; exit 2\n'
    )
    program.chmod(0o755)
    for field, lines in MACHINE.items():
        (tmp_path / "bin" / field).write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "bin"


def test_gpus_are_counted_named_and_measured(gpus: Path) -> None:
    assert gpu_names() == MACHINE["name"]
    assert gpu_memory() == 32 * 2**30
    assert share(None, None).workers == 2
    assert share(None, 0.5).workers == 4


@pytest.mark.parametrize(
    ("visible", "names"),
    [("", []), ("-1", []), ("1", ["NVIDIA B"]), ("1,0", ["NVIDIA B", "NVIDIA A"]), ("7", [])],
)
def test_only_gpus_that_this_process_may_use_count(
    gpus: Path, monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_names() == names


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ("8.9\n8.0\n", "mixed_bfloat16"),
        ("12.0\n", "mixed_bfloat16"),
        ("8.9\n7.5\n", "float32"),
        ("[N/A]\n", "float32"),
        (None, "float32"),
    ],
)
def test_steps_are_in_bfloat16_only_where_every_gpu_is_made_for_it(
    gpus: Path, capabilities: str | None, expected: str
) -> None:
    if capabilities is None:
        (gpus / "compute_cap").unlink()
    else:
        (gpus / "compute_cap").write_text(capabilities)
    assert gpu_precision() == expected


@pytest.mark.parametrize(
    ("flags", "of_cnn", "of_mobilenet"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16", "mixed_bfloat16", "float32"),
        ("flags\t\t: fpu amx_bf16 amx_tile", "mixed_bfloat16", "float32"),
        ("flags\t\t: fpu avx512f avx2", "float32", "float32"),
        ("Features\t: fp asimd bf16", "float32", "float32"),
    ],
)
def test_on_a_cpu_plain_convolutions_train_in_bfloat16_where_it_is_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, of_cnn: str, of_mobilenet: str
) -> None:
    cores = f"processor\t: 0\nmodel name\t: Some CPU\n{flags}\n\nprocessor\t: 1\n"
    (tmp_path / "cpuinfo").write_text(cores)
    monkeypatch.setattr(hardware, "_CPU_FACTS", tmp_path / "cpuinfo")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shared = share(None, None)
    assert shared.precision_of("cnn") == of_cnn
    assert shared.precision_of("resnet50") == of_cnn
    assert shared.precision_of("mobilenet_v2") == of_mobilenet
    assert describe_hardware(shared)["cpu"] == "Some CPU"


def test_where_nothing_is_told_of_the_cpu_it_is_not_made_for_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_CPU_FACTS", tmp_path / "none")
    assert cpu_precision() == "float32"
    assert describe_hardware(share(1, 0.0))["cpu"]


def test_a_search_without_gpus_does_not_go_by_those_of_the_machine(
    gpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hardware, "_CPU_FACTS", tmp_path / "none")
    (gpus / "compute_cap").write_text("9.0\n9.0\n")
    assert share(None, None).precision_of("resnet50") == "mixed_bfloat16"
    on_cpu = share(1, 0.0)
    assert (on_cpu.precision, on_cpu.gpu_bytes) == ("float32", 0)
    assert describe_hardware(on_cpu)["precision"] == "float32"


def test_more_gpus_than_there_are_cannot_be_asked_for(gpus: Path) -> None:
    with pytest.raises(SettingsError, match="at most the GPUs of this machine"):
        share(None, 3)
    with pytest.raises(SettingsError, match="ask for fewer --workers"):
        share(3, 1.0)


@pytest.mark.parametrize(
    ("cores", "gigabytes", "workers"),
    [(1, 16, 1), (2, 16, 2), (4, 16, 2), (16, 64, 8), (2, 3, 1), (16, 1, 1)],
)
def test_without_a_gpu_workers_follow_from_cores_and_memory(
    cores: int, gigabytes: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(resources, "core_count", lambda: cores)
    monkeypatch.setattr(resources, "available_memory", lambda: gigabytes * 10**9)
    shared = share(None, None)
    assert shared.workers == workers
    assert shared.threads == max(1, cores // workers)


def test_workers_share_four_fifths_of_the_memory_that_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 10 * 10**9)
    assert share(1, 0.0).memory_bytes == 8 * 10**9
    assert share(2, 0.0).memory_bytes == 4 * 10**9


@pytest.mark.parametrize(
    "files",
    [
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
    ids=["version 2", "version 1"],
)
def test_what_a_container_has_left_is_its_limit_less_its_use_without_cached_files(
    tmp_path: Path, files: tuple[str, str, str]
) -> None:
    limit, use, cache = files
    (tmp_path / limit).write_text("9000000\n")
    (tmp_path / use).write_text("5000000\n")
    (tmp_path / "memory.stat").write_text(f"anon 4000000\n{cache} 1000000\n")
    assert left_in_cgroup(tmp_path) == 5_000_000
    (tmp_path / limit).write_text("max\n")
    assert left_in_cgroup(tmp_path) == math.inf
    assert left_in_cgroup(tmp_path / "no group") == math.inf


@pytest.mark.parametrize(
    ("group", "name"), [("", "memory.events"), ("memory", "memory.oom_control")]
)
def test_kills_for_want_of_memory_are_those_of_the_control_group_or_else_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, name: str
) -> None:
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(hardware, "_KERNEL_COUNTS", tmp_path / "vmstat")
    assert hardware.out_of_memory_kills() == 0
    (tmp_path / "vmstat").write_text("pgfault 12\noom_kill 5\n")
    assert hardware.out_of_memory_kills() == 5
    folder = tmp_path / "groups" / group
    folder.mkdir(parents=True)
    (folder / name).write_text("low 0\noom_kill 2\n")
    assert hardware.out_of_memory_kills() == 2


def test_the_limit_of_a_container_bounds_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in (tmp_path, tmp_path / "memory"):
        root.mkdir(exist_ok=True)
        (root / "memory.max").write_text("9000000\n")
        (root / "memory.current").write_text("0\n")
        (root / "memory.stat").write_text("inactive_file 0\n")
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path)
    assert available_memory() == 9_000_000


def test_mapped_images_do_not_count_as_memory_of_a_process(tmp_path: Path) -> None:
    size = 50_000_000
    path = tmp_path / "images.npy"
    np.save(path, np.ones(size, np.uint8))
    before = own_memory()
    mapped = np.load(path, mmap_mode="r")
    assert int(mapped[:: mmap.PAGESIZE].sum()) == -(-size // mmap.PAGESIZE)
    assert own_memory() - before < size / 5
    private = np.ones(size, np.uint8)
    assert own_memory() - before > 0.8 * private.nbytes
