"""Commands in another root, with processes, mounts and a loopback network of their own: what an
engine does for a container, less its layers and its limits. Needs root, unshare, mount and ip.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.docker.dockerfile import DEFAULT_PATH, Stage

# Of this machine, how the package index is reached.
_PASSED = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_CERT")


def possible() -> bool:
    """Whether this process may make roots here."""
    needed = all(shutil.which(each) for each in ("unshare", "chroot", "mount", "ip"))
    return needed and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def said(
    stage: Stage,
    command: list[str],
    *,
    user: str = "0",
    env: dict[str, str] | None = None,
    over: bool = False,
    network: bool = False,
) -> str:
    """What a command says that runs in the root of ``stage``; it must not fail.

    Args:
        env: beside that of the stage.
        over: ``stage.root`` is what differs from the root of this machine.
        network: that of this machine, not one of its own.
    """
    root, begin = str(stage.root), []
    if over:
        work, root = f"{root}.work", f"{root}.whole"
        for each in (work, root):
            Path(each).mkdir(exist_ok=True)
        layers = f"lowerdir=/,upperdir={stage.root},workdir={work}"
        begin += [["mount", "-t", "overlay", "overlay", "-o", layers, root]]
    begin += [["mount", "-t", "proc", "proc", f"{root}/proc"]]
    begin += [["mount", "--rbind", "/dev", f"{root}/dev"]]
    if not network:
        begin += [["ip", "link", "set", "lo", "up"]]
    moved = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', stage.folder, *command]
    last = ["exec", "chroot", f"--userspec={user}:{user}", root, *moved]
    own = ["--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    done = subprocess.run(
        ["unshare", *own, "/bin/sh", "-ec", "; ".join(map(shlex.join, [*begin, last]))],
        # None of this machine's variables: an image has its own.
        env={"PATH": DEFAULT_PATH, "HOME": "/root", **passed, **stage.env, **(env or {})},
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{shlex.join(command)}: {done.returncode}: {done.stdout}"
    return done.stdout
