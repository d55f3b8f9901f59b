"""A PostgreSQL server on this machine, from the system's own packages."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

USER = "tests"
_SECONDS_TO_START = 60


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest of several; None where there is none.

    Debian has them in a folder for each version, which is not on the PATH.
    """
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if (found := shutil.which("initdb")) is not None:
        folders.insert(0, Path(found).resolve().parent)
    whole = [each for each in folders if (each / "postgres").exists()]
    return next((each for each in whole if (each / "initdb").exists()), None)


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


class PostgreSQL:
    """A server on the loopback interface, which can be stopped and started again.

    Attributes:
        port: of the server; the same after each start.
        password: of ``USER``, as libpq reads it from PGPASSWORD.
    """

    def __init__(self, bin_folder: Path, folder: Path) -> None:
        self.password = secrets.token_hex(8)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.port: int = listening.getsockname()[1]
        self._bin, self._data, self._log = bin_folder, folder / "data", folder / "log"
        # It refuses to run as root.
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            other = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            self._as = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": ()}
            os.chown(folder, other.pw_uid, other.pw_gid)
        word = folder / "password"
        word.write_text(self.password)
        word.chmod(0o644)
        command = [self._bin / "initdb", "--pgdata", self._data, "--username", USER, "--no-sync"]
        command += [
            "--auth",
            "scram-sha-256",
            "--pwfile",
            word,
            "--locale",
            "C",
            "--encoding",
            "UTF8",
        ]
        self._run(command)
        word.unlink()
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    def _run(self, command: list[str | Path]) -> None:
        done = subprocess.run(
            command,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self._as,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it where it is stopped, and wait until it answers."""
        if self._server is not None:
            return
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        command = [self._bin / "postgres", "-D", self._data, "-c", "unix_socket_directories="]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as,  # type: ignore[call-overload]
            )
        until = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                self.ask("SELECT 1")
                return
            except psycopg.OperationalError:
                said = self._log.read_text(errors="replace")[-2000:]
                assert self._server.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.05)

    def stop(self) -> None:
        """At once, as ``pg_ctl stop -m immediate`` does: it recovers when it is started again."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(timeout=60)
            self._server = None

    def ask(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """The rows that ``query`` gives."""
        where = f"host=127.0.0.1 port={self.port} user={USER} dbname={database} connect_timeout=5"
        with psycopg.connect(where, password=self.password, autocommit=True) as connection:
            found = connection.execute(query)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def database(self) -> str:
        """The URL of a new, empty database, without the password."""
        name = f"studies_{secrets.token_hex(4)}"
        self.ask(f"CREATE DATABASE {name}")
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"


@contextmanager
def postgresql(bin_folder: Path) -> Iterator[PostgreSQL]:
    """A server that is gone after the block, with all that it wrote."""
    folder = Path(tempfile.mkdtemp(prefix="automl-img-postgresql-"))
    folder.chmod(0o755)
    server: PostgreSQL | None = None
    try:
        server = PostgreSQL(bin_folder, folder)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
