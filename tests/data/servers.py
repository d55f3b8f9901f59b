"""Servers on this machine for what lies behind URLs: one that speaks S3, one that speaks as
Google's storage does, and one of files."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import pytest

from automl_img.data import filesystems

_PIECE = 10_000
# Seconds that the end of a server may take.
_POLL = 0.02
KEYS = {"AWS_ACCESS_KEY_ID": "us" + "er", "AWS_SECRET_ACCESS_KEY": "s3" + "cret"}
# What a user of a server that speaks S3 has in the environment, beside its address.
ENVIRONMENT = {**KEYS, "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


class Gate:
    """The way to a server, which may be closed: then whoever comes is sent away.

    Attributes:
        address: of the gate, as of a server.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._server = parts.hostname, parts.port
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let nobody through, and cut off who is."""
        self._open.clear()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        self._open.set()

    def end(self) -> None:
        self.close()
        # Wakes the thread that waits for connections.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if not self._open.is_set():
                client.close()
                continue
            server = socket.create_connection(self._server)
            with self._lock:
                self._connections |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                target.sendall(piece)
        with self._lock:
            self._connections.discard(source)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()


def try_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let attempts follow each other without a wait, those too that the clients make themselves."""

    async def at_once(_: float) -> None:
        pass

    monkeypatch.setattr(filesystems, "WAITS", (0.0, 0.0, 0.0))
    # As ``filesystems`` does it, for gcsfs reads that when it is imported.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    for client in ("aiobotocore.endpoint", "gcsfs.retry"):
        monkeypatch.setattr(f"{client}.asyncio", SimpleNamespace(sleep=at_once))


class AnyBucket(ABC):
    """What a server keeps of one name, seen without the code that is tested.

    Attributes:
        ENDPOINT: the variable of the environment that says where the server is.
        scheme: of its URLs.
        name: of the bucket.
    """

    ENDPOINT: ClassVar[str]
    scheme: ClassVar[str]
    name: str

    @abstractmethod
    def put(self, key: str, content: bytes) -> None: ...

    @abstractmethod
    def get(self, key: str) -> bytes: ...

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]: ...

    def put_folder(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def copy_to(self, folder: Path, prefix: str) -> None:
        """All files below ``prefix``, as they are now."""
        for key in self.keys(f"{prefix}/"):
            target = folder / key.removeprefix(f"{prefix}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.get(key))

    def url(self, key: str = "") -> str:
        return f"{self.scheme}://{self.name}/{key}"


class Bucket(AnyBucket):
    """A bucket of its own on a server that speaks S3."""

    ENDPOINT, scheme = "AWS_ENDPOINT_URL", "s3"

    def __init__(self, address: str, name: str) -> None:
        import boto3

        self.name = name
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        self._client.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.name, Prefix=prefix)
        return [each["Key"] for page in found for each in page.get("Contents", ())]


@dataclass
class GoogleBucket(AnyBucket):
    """A bucket of Google's storage, what is wrong with its server, and what was asked of it.

    Attributes:
        failing: answers with a status instead, as many times as it says, by the last part of a
            path: the key of an object, or "o" for a listing.
        asked: the keys of the objects that were read.
    """

    ENDPOINT, scheme = "STORAGE_EMULATOR_HOST", "gs"
    address: str
    name: str
    failing: dict[str, tuple[int, int]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def put(self, key: str, content: bytes) -> None:
        query = f"uploadType=media&name={quote(key, safe='')}"
        self._ask("POST", f"/upload/storage/v1/b/{self.name}/o?{query}", content, "image/png")

    def get(self, key: str) -> bytes:
        return self._ask("GET", f"{self._objects}/{quote(key, safe='')}?alt=media")

    def delete(self, key: str) -> None:
        self._ask("DELETE", f"{self._objects}/{quote(key, safe='')}")

    def keys(self, prefix: str = "") -> list[str]:
        # The emulator tells all at once.
        found = json.loads(self._ask("GET", f"{self._objects}?prefix={quote(prefix, safe='')}"))
        return sorted(each["name"] for each in found.get("items", ()))

    def create(self) -> None:
        body = json.dumps({"name": self.name}).encode()
        self._ask("POST", "/storage/v1/b?project=test", body, "application/json")

    @property
    def _objects(self) -> str:
        return f"/storage/v1/b/{self.name}/o"

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content


@contextmanager
def google_server(name: str) -> Iterator[GoogleBucket]:
    """A server that speaks as Google's storage does, with one empty bucket."""
    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    bucket, lock = GoogleBucket("", name), threading.Lock()

    class Handler(RequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            path = urlsplit(self.path).path
            key = unquote(path.rpartition("/")[2])
            with lock:
                status, left = bucket.failing.get(key, (0, 0))
                if left:
                    bucket.failing[key] = (status, left - 1)
                elif path.startswith("/download/"):
                    bucket.asked.append(key)
            if left:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, Storage(use_memory_fs=True)))
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    bucket.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        bucket.create()
        yield bucket
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Site:
    """Files by their paths on a web server, what is wrong with it, and what was asked of it.

    Attributes:
        failing: answers with a status instead, as many times as it says, by path and method.
        cut: paths whose answer ends in the midst of it, as many times as it says.
        hides: methods whose answers tell neither size nor signs of the content.
        slow: paths whose answer takes seconds.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    failing: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    cut: Counter[str] = field(default_factory=Counter)
    hides: tuple[str, ...] = ()
    slow: set[str] = field(default_factory=set)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fails(self, path: str, status: int, times: int, *methods: str) -> None:
        for method in methods or ("HEAD", "GET"):
            self.failing[path, method] = (status, times)

    def gets(self) -> int:
        return sum(count for (_, method), count in self.asked.items() if method == "GET")


@contextmanager
def web_server() -> Iterator[Site]:
    """A server of files that can be made to fail."""
    site, lock = Site(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            with lock:
                site.asked[path, self.command] += 1
                status, left = site.failing.get((path, self.command), (0, 0))
                if left:
                    site.failing[path, self.command] = (status, left - 1)
                cut = self.command == "GET" and site.cut[path] > 0
                site.cut[path] -= cut
            content = site.files.get(path)
            if left or content is None:
                self.send_response(status if left else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            if self.command in site.hides:
                self.send_header("Connection", "close")
                self.close_connection = True
            else:
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", f'"{hash(content)}"')
            self.end_headers()
            if self.command == "GET":
                self._send(content[: len(content) // 2] if cut else content, path in site.slow)
                self.close_connection = self.close_connection or cut

        def _send(self, content: bytes, slowly: bool) -> None:
            # Whoever asked may be gone.
            with suppress(OSError):
                for start in range(0, len(content), _PIECE):
                    self.wfile.write(content[start : start + _PIECE])
                    time.sleep(0.02 * slowly)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
