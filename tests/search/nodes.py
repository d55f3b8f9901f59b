"""Nodes of a Ray cluster on this machine, each with a network and a file system of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

RAY = Path(sys.executable).with_name("ray")
# Seconds.
_START = 60.0


def refuse_without_namespaces() -> None:
    """Skip the test where this machine lends no namespaces; fail on CI, where it does."""
    tools = all(shutil.which(tool) for tool in ("ip", "unshare", "mount"))
    allowed = tools and _runs("unshare", "--mount", "--net", "true")
    if not allowed:
        reason = "nodes of their own need root and ip, unshare and mount"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


class Cluster:
    """A head, on which the test is the driver, and nodes that see neither its folders nor network.

    Attributes:
        hidden: the folder that other nodes have an empty one in place of.
    """

    def __init__(self, folder: Path, hidden: Path, token: str) -> None:
        """
        Args:
            folder: short, as it holds sockets; not in ``hidden``.
        """
        self.folder, self.hidden = folder, hidden
        key = uuid.uuid4().hex[:6]
        self._bridge, self._net = (
            f"amb{key}",
            f"10.{231 + int(key[0], 16) % 16}.{int(key[1:3], 16)}",
        )
        self._token = folder / "token"
        self._token.write_text(token)
        self._token.chmod(0o600)
        self._started: list[subprocess.Popen[bytes]] = []
        self._namespaces: list[str] = []
        self._port = _free_port()

    @property
    def address(self) -> str:
        return f"{self._net}.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a driver needs to be let in."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self._token)}

    def start_head(self, cores: int = 1) -> None:
        _must("ip", "link", "add", self._bridge, "type", "bridge")
        _must("ip", "addr", "add", f"{self._net}.1/24", "dev", self._bridge)
        _must("ip", "link", "set", self._bridge, "up")
        head = ["--head", "--port", str(self._port), "--include-dashboard=false"]
        self._start([*head, "--node-ip-address", f"{self._net}.1", "--num-cpus", str(cores)], "h")

    def add_node(
        self, cores: int = 1, disk: str = "50%", **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a node; gives its process, whose group is that of all that it starts.

        Args:
            disk: the size of what it has in place of the hidden folder, as tmpfs takes it.
        """
        number = len(self._namespaces) + 2
        name, ends = f"{self._bridge}-{number}", (f"{self._bridge}{number}", f"n{number}")
        self._namespaces.append(name)
        _must("ip", "netns", "add", name)
        _must("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", name)
        _must("ip", "link", "set", ends[0], "master", self._bridge, "up")
        address = f"{self._net}.{number}"
        inside = ("ip", "-n", name)
        _must(*inside, "addr", "add", f"{address}/24", "dev", ends[1])
        _must(*inside, "link", "set", ends[1], "up")
        _must(*inside, "link", "set", "lo", "up")
        hide = f'mount -t tmpfs -o size={disk} none "{self.hidden}" && exec "$@"'
        apart = ["ip", "netns", "exec", name, "unshare", "--mount", "sh", "-c", hide, "sh"]
        join = ["--address", self.address, "--node-ip-address", address, "--num-cpus", str(cores)]
        cache = {"AUTOML_IMG_CACHE": str(self.hidden / "cache-of-node")}
        return self._start(join, f"n{number}", apart, {**cache, **environment})

    def lose(self, node: subprocess.Popen[bytes]) -> None:
        """Take a node away at once, with all that runs on it."""
        with suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def close(self) -> None:
        for process in reversed(self._started):
            self.lose(process)
        for name in self._namespaces:
            _runs("ip", "netns", "del", name)
        _runs("ip", "link", "del", self._bridge)

    def _start(
        self,
        arguments: list[str],
        name: str,
        apart: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        temporary = self.folder / name
        command = [*(apart or ()), str(RAY), "start", *arguments, "--block"]
        values = {**os.environ, **self.environment, **(environment or {})}
        # Trials are to import what the tests do.
        values["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2])])
        values["RAY_USAGE_STATS_ENABLED"] = "0"
        log = self.folder / f"{name}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, "--temp-dir", str(temporary)],
                env=values,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        until = time.monotonic() + _START
        while "block" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    f"a node did not start: {log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.1)
        return process


@contextmanager
def running_cluster(hidden: Path, token: str = "f" * 64) -> Iterator[Cluster]:
    """A head of one core that is told ``token``."""
    refuse_without_namespaces()
    folder = Path(f"/tmp/am-{uuid.uuid4().hex[:6]}")
    folder.mkdir()
    cluster = Cluster(folder, hidden, token)
    try:
        cluster.start_head()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    # Below those that Ray gives its workers, and outside of those that the system gives.
    for port in range(6400, 9900):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise RuntimeError("no free port")


def _must(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _runs(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
