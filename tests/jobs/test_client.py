"""The way to a head: which address, how safe, and what is said where it is barred."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from automl_img.errors import HeadUnreachable, JobError, SettingsError
from automl_img.events import Event, Notice
from automl_img.jobs import client as asking
from automl_img.jobs import send as sending
from automl_img.jobs.address import Address, find_address
from automl_img.jobs.client import connect
from automl_img.jobs.command import Command
from automl_img.jobs.send import send
from tests.data.servers import web_server

_WITH_TOKEN = "ray._private.authentication.authentication_utils.is_token_auth_enabled"


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # Nor has Ray a token, whatever it did before in this process.
    monkeypatch.setattr(_WITH_TOKEN, lambda: False)


@contextmanager
def head(answers: dict[str, Any], status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A server that speaks as a head does; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            known = answers.get(self.path)
            self.send_response(404 if known is None else status)
            self.end_headers()
            self.wfile.write(json.dumps(known).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


def version(ray: str = "2.60.0") -> dict[str, Any]:
    return {"/api/version": {"version": "4", "ray_version": ray, "ray_commit": ""}}


def notices(address: str) -> list[str]:
    heard: list[Event] = []
    connect(address, heard.append)
    return [event.text for event in heard if isinstance(event, Notice)]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://head:8265", "http://head:8265"),
        ("https://head.example:443/", "https://head.example:443"),
        ("http://[::1]:8265", "http://[::1]:8265"),
    ],
)
def test_an_address_is_host_and_port(text: str, url: str) -> None:
    found = find_address(text)
    assert found.url == url
    assert found.option == f" --address {url}"


@pytest.mark.parametrize(
    "text",
    [
        "head:8265",
        "ray://head:10001",
        "http://head",
        "auto",
        "http://h:8265/x",
        "http://h:99999",
        "",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="must be http://HOST:PORT"):
        find_address(text)


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="without a user or password") as raised:
        find_address("http://me:hidden@head:8265")
    assert "hidden" not in str(raised.value)


def test_the_environment_names_the_head_where_nothing_is_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert find_address(None).url == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "http://one:1")
    assert find_address(None).url == "http://one:1"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://two:2")
    assert find_address(None).url == "http://two:2"
    assert find_address(None).option == ""
    assert find_address("http://three:3").url == "http://three:3"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(SettingsError, match="it is from RAY_API_SERVER_ADDRESS"):
        find_address(None)


def test_what_is_typed_counts_more_than_what_ray_finds_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    with head(version()) as (address, asked):
        connect(address, lambda event: None)
        assert "/api/version" in asked


def test_a_head_on_this_machine_is_no_reason_for_a_warning() -> None:
    with head(version()) as (address, _):
        assert notices(address) == []


def test_an_open_head_elsewhere_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Address, "is_here", property(lambda self: False))
    for mode in ({}, {"/api/authentication_mode": {"authentication_mode": "disabled"}}):
        with head(version() | mode) as (address, _):
            (said,) = notices(address)
        assert "CVE-2023-48022" in said
    closed = {"/api/authentication_mode": {"authentication_mode": "token"}}
    with head(version() | closed) as (address, _):
        assert notices(address) == []


def test_a_token_in_clear_text_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {"/api/authentication_mode": {"authentication_mode": "token"}}
    monkeypatch.setattr(Address, "is_here", property(lambda self: False))
    with head(version() | closed) as (address, _):
        monkeypatch.setattr(_WITH_TOKEN, lambda: True)
        headers = "ray.dashboard.modules.dashboard_sdk.get_auth_headers_if_auth_enabled"
        monkeypatch.setattr(headers, lambda given: {})
        (said,) = notices(address)
    assert "in clear text" in said
    assert "ssh -L 8265:127.0.0.1:8265 127.0.0.1" in said


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", 1), ("localhost", 1), ("10.0.0.1", 0), ("h", 0)]
)
def test_loopback_is_told_from_all_else(host: str, here: int) -> None:
    assert find_address(f"http://{host}:8265").is_here == bool(here)


def test_nobody_at_the_port_is_one_sentence_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(HeadUnreachable, match=r"no Ray head answers at http://127\.0\.0\.1:9; see"):
        connect("http://127.0.0.1:9", lambda event: None)
    assert time.monotonic() - began < 20


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_TIMEOUTS", (0.5, 0.5))
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(HeadUnreachable, match="no Ray head answers"):
            connect(address, lambda event: None)


def test_another_server_is_not_taken_for_a_head() -> None:
    with web_server() as site:
        site.files["/api/version"] = b"hello"
        with pytest.raises(JobError, match="something else answers"):
            connect(site.address, lambda event: None)
        site.files.clear()
        with pytest.raises(JobError, match="something else answers"):
            connect(site.address, lambda event: None)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "aiohttp" else found(name)
    )
    with pytest.raises(SettingsError, match=r"pip install 'automl-img\[cluster\]'"):
        connect("http://127.0.0.1:9", lambda event: None)


def test_a_ray_that_this_code_does_not_know_gets_nothing() -> None:
    with head(version("2.44.1")) as (address, asked):
        there = connect(address, lambda event: None)
        with pytest.raises(JobError, match=r"must be 2.60 or later, below 3, but .* runs 2.44.1"):
            send(there, Command(("search", "digits"), "mine", "/runs"))
        assert {path for path in asked if "version" not in path} == set()


@contextmanager
def head_whose_log_breaks_off() -> Iterator[str]:
    """A head that answers, until its log is followed."""
    ready: queue.Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = queue.Queue()

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(version()["/api/version"])

    async def tail(request: web.Request) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("one\n")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async def serve() -> None:
        application = web.Application()
        application.add_routes(
            [web.get("/api/version", tell), web.get("/api/jobs/{id}/logs/tail", tail)]
        )
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        over = asyncio.Event()
        host, port = runner.addresses[0][:2]
        ready.put((f"http://{host}:{port}", asyncio.get_running_loop(), over))
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    address, loop, over = ready.get(timeout=20)
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)


def test_a_log_that_breaks_off_is_a_lost_connection_and_no_end() -> None:
    heard: list[str] = []
    with head_whose_log_breaks_off() as address:
        there = connect(address, lambda event: None)
        with pytest.raises(HeadUnreachable, match="no Ray head answers"):
            there.tail("j", heard.append)
    assert heard == ["one\n"]


@pytest.mark.parametrize(("status", "error"), [(503, HeadUnreachable), (500, JobError)])
def test_a_tunnel_whose_other_end_is_away_is_told_from_a_head_that_refuses(
    status: int, error: type[Exception]
) -> None:
    with head(version()) as (address, _):
        there = connect(address, lambda event: None)
    with head({"/api/jobs/j": {}}, status) as (address, _):
        there._client._address = address
        with pytest.raises(JobError) as raised:
            there.job("j")
        assert type(raised.value) is error


def test_the_ray_that_is_asked_for_is_that_of_the_package() -> None:
    text = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert '"ray[tune]>=2.60,<3"' in text
    assert sending._RAY == (2, 60)


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x?y"])
def test_a_name_that_no_job_has_is_not_asked_for(name: str) -> None:
    with head(version()) as (address, asked):
        there = connect(address, lambda event: None)
        before = len(asked)
        with pytest.raises(JobError, match="there is no job"):
            there.job(name)
        assert len(asked) == before
