"""The images: what their files say, and the part of their steps that is quick."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from automl_img import __version__
from tests.docker import roots
from tests.docker.dockerfile import ROOT, Stage, Step, build, parse, pins, sent, stages, words

DOCKER = ROOT / "docker"
FILES = ("Dockerfile", "Dockerfile.gpu")
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name: str) -> None:
    done = subprocess.run(
        [BIN / "hadolint", DOCKER / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_an_image_runs_as_a_user_that_is_named_by_number(name: str) -> None:
    image = stages(parse(DOCKER / name))[-1][1]
    *_, user = [step.rest for step in image if step.word == "USER"]
    # Kubernetes' runAsNonRoot cannot tell from a name.
    assert user == "1000"
    # Nothing is installed as that user.
    order = [step.word for step in image]
    assert "RUN" not in order[order.index("USER") :]


def test_the_image_for_gpus_is_the_other_one_and_cuda() -> None:
    # Else their layers would not be shared, and one would be forgotten where the other is changed.
    cpu, gpu = (parse(DOCKER / name) for name in FILES)
    added = [step for step in gpu if step not in cpu]
    assert [step for step in gpu if step not in added] == cpu
    assert [step.word for step in added] == ["RUN", "ENV", "ENV"]
    # CUDA comes above the libraries and below the code, so that neither ships the other again.
    order = [(step.word, step.flag.get("from", "")) for step in gpu]
    assert order.index(("COPY", "dependencies")) < gpu.index(added[0])
    assert gpu.index(added[-1]) < gpu.index(wheel_step(gpu))


def wheel_step(steps: list[Step]) -> Step:
    (found,) = [step for step in steps if "from=wheel" in "".join(step.flags)]
    return found


def test_the_locks_of_the_images_agree_with_each_other_and_with_ours() -> None:
    ours, cpu, gpu = (
        pins(lock)
        for lock in (
            "requirements.lock",
            "docker/requirements-cpu.lock",
            "docker/requirements-gpu.lock",
        )
    )
    assert {"ray", "s3fs", "gcsfs", "aiohttp-cors", "tensorflow"} < set(cpu)
    assert {name: ours[name] for name in cpu} == cpu
    assert {name for name in gpu if gpu[name] != cpu.get(name)} == {
        name for name in gpu if name.startswith("nvidia-")
    }
    assert {"nvidia-cudnn-cu12", "nvidia-cuda-nvcc-cu12"} < set(gpu)


def test_the_context_has_what_the_steps_copy_and_nothing_else_of_here() -> None:
    assert sent(Path("docker/requirements-cpu.lock"))
    assert sent(Path("automl_img/cli/main.py"))
    for path in (".git/config", ".venv/bin/python", "runs/x/run.json", "tests/conftest.py"):
        assert not sent(Path(path)), path
    assert not sent(Path("automl_img/cli/__pycache__/main.cpython-312.pyc"))


@pytest.mark.slow
@pytest.mark.skipif(not roots.possible(), reason="needs root and namespaces, to make roots")
def test_the_steps_make_an_image_whose_commands_run(tmp_path: Path) -> None:
    """Every step, in the root of this machine with what the steps change laid over it; but what
    the locks name is not installed again: the packages that are here are linked. ``make image``
    installs it, in a clean root.
    """
    made = build(parse(DOCKER / "Dockerfile"), lambda _, name: begin(tmp_path / name), run)
    image = made["image"]
    assert (image.root / "data").stat().st_mode & 0o777 == 0o777
    entry, command = words(image.settings["ENTRYPOINT"]), words(image.settings["CMD"])
    assert "search" in said(image, [*entry, *command])
    # KubeRay may start a login shell.
    told = said(image, ["bash", "-lc", "which ray; automl-img --version; id -u"])
    assert told.split() == ["/opt/automl-img/bin/ray", "automl-img", __version__, "1000"]
    where = ["python", "-c", "import automl_img; print(automl_img.__file__)"]
    assert said(image, where).startswith("/opt/automl-img/")
    assert said(image, ["healthy"]) == "well\n"
    usage = roots.said(image, ["sh", "-c", "search-or-resume 2>&1 || true"], over=True)
    assert "usage: search-or-resume OUT NAME DATA" in usage


def said(image: Stage, command: list[str]) -> str:
    return roots.said(image, command, user=image.user, over=True)


def begin(root: Path) -> Path:
    """What differs from this machine before the first step: no user 1000, and the Python of the
    tests as python and pip, as python:3.12-slim has them."""
    local = root / "usr/local/bin"
    local.mkdir(parents=True)
    for name, more in (("python", ""), ("pip", "-m pip ")):
        (local / name).write_text(
            f'#!/bin/sh\nexec {sys.executable} {more}"$@"\n', encoding="utf-8"
        )
        (local / name).chmod(0o755)
    # Which may lie in the home of root.
    stage = Stage("", root)
    line = "chmod a+rx /root; user=$(id -nu 1000) && userdel $user; test ! -d /opt/automl-img"
    roots.said(stage, ["/bin/sh", "-c", line], over=True)
    return root


def run(stage: Stage, line: str) -> None:
    if "--require-hashes" not in line:
        roots.said(stage, ["/bin/sh", "-c", line], over=True)
    elif line.startswith("/opt/automl-img/bin/pip"):
        (site,) = (stage.root / "opt/automl-img/lib").glob("python3*/site-packages")
        for package in Path(sysconfig.get_path("purelib")).iterdir():
            if "automl_img" not in package.name and not (site / package.name).exists():
                (site / package.name).symlink_to(package)
        shutil.copy2(BIN / "ray", stage.root / "opt/automl-img/bin")
