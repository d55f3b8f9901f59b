"""A real head of a Ray cluster on this machine, with a token, and a laptop that knows it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_BIN = Path(sys.executable).parent
# What this process may have that neither the head nor the laptop shall see.
_HIDDEN = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "PYTHONPATH")
_PORTS = (
    *("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port"),
    *("dashboard-agent-grpc-port", "metrics-export-port", "runtime-env-agent-port"),
)


@dataclass(frozen=True)
class RunningHead:
    """
    Attributes:
        home: of the user whom it runs as.
        logs: of its session.
    """

    address: str
    token: str
    home: Path
    logs: Path

    @property
    def runs(self) -> Path:
        return self.home / "automl-img" / "runs"


@dataclass(frozen=True)
class Laptop:
    """Where commands are typed.

    Attributes:
        code: the folder that automl_img is imported from.
    """

    folder: Path
    environment: dict[str, str]
    code: Path

    def start(self, *words: str, **changed: str) -> subprocess.Popen[str]:
        """A command; its streams are read by whoever waits for it."""
        environment = {**self.environment, "PYTHONPATH": str(self.code), **changed}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "automl_img", *words],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """A command, done."""
        process = self.start(*words, **changed)
        try:
            out, error = process.communicate(timeout=400)
        finally:
            process.kill()
            process.wait()
        return subprocess.CompletedProcess(words, process.returncode, out, error)


@contextmanager
def running_head(cache: Path, environment: Mapping[str, str]) -> Iterator[RunningHead]:
    """A head that ends with the block, with all that it started.

    Args:
        environment: that its jobs have beside what every head has.
    """
    # Short, as the paths of sockets may have 107 letters.
    place = Path(tempfile.mkdtemp(prefix="ah-", dir="/tmp"))
    home, token = place / "home", secrets.token_hex(32)
    home.mkdir()
    (place / "token").write_text(token)
    (place / "token").chmod(0o600)
    started_with = {
        **_plain_environment(),
        **environment,
        "HOME": str(home),
        # Ray calls pip, and what is sent calls python.
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(place / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Nothing is to be moved to another node when it is told to end.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "AUTOML_IMG_CACHE": str(cache),
    }
    ports = _free_ports(len(_PORTS))
    options = [f"--{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
    options += ["--dashboard-host=127.0.0.1", f"--temp-dir={place / 'r'}", "--num-cpus=2"]
    options += ["--object-store-memory=100000000", "--block"]
    with (place / "head.log").open("wb") as log:
        process = subprocess.Popen(
            [_BIN / "ray", "start", "--head", *options],
            cwd=place,
            env=started_with,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    head = RunningHead(
        f"http://127.0.0.1:{ports[1]}", token, home, place / "r" / "session_latest" / "logs"
    )
    try:
        _wait_until_it_answers(head, process, place / "head.log")
        yield head
    finally:
        _end(process)
        shutil.rmtree(place, ignore_errors=True)


def laptop(folder: Path, head: RunningHead, code: Path, environment: Mapping[str, str]) -> Laptop:
    """A machine of another user, who knows the token of ``head``.

    Args:
        environment: of that user.
    """
    (folder / "home" / ".ray").mkdir(parents=True)
    (folder / "home" / ".ray" / "auth_token").write_text(head.token)
    of_user = {
        **_plain_environment(),
        **environment,
        "HOME": str(folder / "home"),
        "RAY_AUTH_MODE": "token",
        "RAY_ADDRESS": head.address,
        "NO_PROXY": "127.0.0.1",
    }
    return Laptop(folder, of_user, code)


def _plain_environment() -> dict[str, str]:
    hidden = {*_HIDDEN, "RAY_AUTH_TOKEN_PATH"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_it_answers(head: RunningHead, process: subprocess.Popen[bytes], log: Path) -> None:
    asked = urllib.request.Request(
        f"{head.address}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"}
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), urllib.request.urlopen(asked, timeout=5) as answer:
            assert answer.status == 200
            return
        time.sleep(0.5)
    raise AssertionError(f"the head did not answer: {log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the head and all that it started, and nothing else."""
    ours = []
    with suppress(psutil.NoSuchProcess):
        ours = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(ours, timeout=10)
    for each in alive:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
