"""The steps of a Dockerfile in a clean root, and what such an image then does: make image.

    python -m tests.docker.recipe [--gpu] [--python PATH] [--keep FOLDER]

Needs root, mmdebstrap, unshare and a Python 3.12, some minutes and 8 GB of disk, for GPUs 20 GB.
The clean root is Debian of this machine's release with that Python in /usr/local, where
python:3.12-slim has its own: this tries the steps, not that image. Each check runs with processes,
mounts and a loopback network of its own, as in a container. No layer comes of it, no network of
several containers, and no GPU is used.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docker import roots
from tests.docker.dockerfile import ROOT, Stage, build, parse, words

# What the Python of python:3.12-slim is linked with.
_LIBRARIES = (
    "ca-certificates,libssl3,libffi8,libsqlite3-0,zlib1g,libbz2-1.0,liblzma5,libreadline8,"
    "libuuid1,libexpat1"
)
# How this machine reaches the package index.
_WAY = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
# A head as a container runs it: it becomes well, its dashboard refuses who has no token; a node
# that hangs is seen when the head has missed some of its answers, one that was killed at once.
_HEALTH = """
node() { grep -lx raylet /proc/[0-9]*/comm | cut -d/ -f3; }
ray start --head --block --num-cpus=1 --dashboard-host=127.0.0.1 > /tmp/head.txt 2>&1 & head=$!
for second in $(seq 60); do sleep 1; test -n "$(node)" && healthy && break; done
healthy || exit 10
python -c 'from urllib.request import *; urlopen("http://127.0.0.1:8265/api/version")' && exit 11
kill -STOP $(node)
for second in $(seq 90); do sleep 1; healthy || break; done
healthy && exit 12
kill -KILL $(node)
healthy && exit 13
wait $head && exit 14
echo done
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="Dockerfile.gpu in place of Dockerfile")
    parser.add_argument("--python", default="python3.12", help="the Python of the clean root")
    parser.add_argument("--keep", type=Path, help="make the roots in this folder, and keep them")
    asked = parser.parse_args()
    where = asked.keep or Path(tempfile.mkdtemp(prefix="recipe-"))
    where.mkdir(exist_ok=True)
    name = "Dockerfile.gpu" if asked.gpu else "Dockerfile"
    try:
        with timed("a clean root"):
            clean = clean_root(where / "clean", asked.python)
        made = build(
            parse(ROOT / "docker" / name), lambda _, stage: copied(clean, where / stage), run
        )
        check(made["image"])
        if asked.gpu:
            check_cuda(made["image"])
    finally:
        if not asked.keep:
            shutil.rmtree(where, ignore_errors=True)
    print(f"{name}: every step was done and every check passed")


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def clean_root(root: Path, python: str) -> Path:
    """Debian with ``python`` in /usr/local, and with this machine's way to the package index."""
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_LIBRARIES}"]
    subprocess.run([*command, release(), str(root)], check=True)
    ask = [python, "-c", "import sys; print(*sys.version_info[:2], sys.base_prefix)"]
    told = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.split()
    if told[:2] != ["3", "12"]:
        raise SystemExit(
            f"error: the images have Python 3.12, but {python} is {'.'.join(told[:2])}"
        )
    prefix, local = Path(told[2]), root / "usr/local"
    shutil.copy2(prefix / "bin/python3.12", local / "bin")
    shutil.copytree(
        prefix / "lib/python3.12",
        local / "lib/python3.12",
        symlinks=True,
        ignore=shutil.ignore_patterns("site-packages", "test", "__pycache__"),
    )
    for library in (prefix / "lib").glob("libpython3*.so*"):
        shutil.copy2(library, local / "lib", follow_symlinks=False)
    for link in ("python3", "python"):
        (local / "bin" / link).symlink_to("python3.12")
    for file in _WAY:
        shutil.copy2(file, root / file.lstrip("/"))
    for line in (["ldconfig"], ["python3", "-m", "ensurepip", "--default-pip"]):
        subprocess.run(["chroot", root, *line], check=True, stdout=subprocess.DEVNULL)
    return root


def release() -> str:
    """The code name of this machine's Debian."""
    lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line)["VERSION_CODENAME"]


def copied(clean: Path, root: Path) -> Path:
    subprocess.run(["cp", "--archive", clean, root], check=True)
    return root


def run(stage: Stage, line: str) -> None:
    """A RUN step, as root."""
    with timed(line if len(line) < 90 else f"{line[:87]}..."):
        roots.said(stage, ["/bin/sh", "-c", line], network=True)


def said(image: Stage, command: list[str], env: dict[str, str] | None = None) -> str:
    """What a command of a container says, as its user."""
    return roots.said(image, command, user=image.user, env=env)


def check(image: Stage) -> None:
    """What the image is for, as its user."""
    entry = words(image.settings["ENTRYPOINT"])
    with timed("its help, as it runs without arguments"):
        assert "search" in said(image, [*entry, *words(image.settings["CMD"])])
    with timed("commands in a login shell"):
        told = said(image, ["bash", "-lc", "automl-img --version; ray --version; id -u"])
        assert "automl-img" in told, told
        assert "ray, version 2." in told, told
        assert told.split()[-1] == image.user, told
    with timed("a search of digits, then the same command again"):
        search = ["search-or-resume", "/runs", "tried", "digits"]
        options = ["--space", "cnn_small", "--budget", "2", "--max-epochs", "2"]
        said(image, [*search, *options])
        assert "has come to its end" in said(image, [*search, *options])
        assert (image.root / "runs/tried/model.keras").stat().st_uid == int(image.user)
    with timed("the health of a head with a token: well, its node stopped, its node killed"):
        assert words(image.settings["HEALTHCHECK"]) == ["healthy"]
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
        assert "done" in said(image, ["bash", "-c", _HEALTH], token)


def check_cuda(image: Stage) -> None:
    """The libraries that TensorFlow opens are there; whether they work only a GPU can say."""
    with timed("CUDA: its libraries can be opened, and XLA's folder has what it looks for"):
        code = """
import ctypes, os, pathlib, tensorflow as tf
folder = pathlib.Path(os.environ["XLA_FLAGS"].partition("=")[2])
assert (folder / "bin/ptxas").is_file() and list(folder.rglob("libdevice.10.bc")), folder
opened = []
for library in sorted(folder.parent.rglob("lib/lib*.so*")):
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        # Of the driver, which the machine has.
        assert "libcuda.so.1" in str(error), error
    else:
        opened.append(library.name.partition(".")[0])
missing = set("libcudart libcublas libcudnn libcufft libcusolver libcusparse libnccl".split())
assert not missing - set(opened), missing - set(opened)
# An operation, as the flags of XLA are read then, and unknown ones end the process.
assert tf.function(lambda x: x + 1, jit_compile=True)(1) == 2
print("built for CUDA", tf.sysconfig.get_build_info()["cuda_version"])
"""
        assert "built for CUDA 12" in said(image, ["python", "-c", code])


if __name__ == "__main__":
    main()
