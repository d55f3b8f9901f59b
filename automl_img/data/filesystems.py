"""Files behind URLs, read and written through fsspec, again where a later attempt may succeed."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any, TypeVar

from automl_img.data.failures import (
    NotThere,
    OtherSize,
    Refused,
    credentials,
    is_local,
    judged,
    refusal,
)
from automl_img.data.urls import is_web, scheme_of, shown
from automl_img.errors import DataError, Unreachable
from automl_img.files import disk_is_full

# Seconds before the second attempt, the third and the fourth, which is the last.
WAITS = (0.5, 2.0, 8.0)
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "https": "aiohttp", "http": "aiohttp"}
# The first that a server tells; with the size it says whether a file is still the same.
_SIGNS = ("ETag", "etag", "md5Hash", "Content-MD5", "LastModified", "Last-Modified", "updated")
_TIMES = ("LastModified", "mtime", "updated")
_SECONDS_TO_CONNECT, _SECONDS_OF_SILENCE = 30, 60

T = TypeVar("T")


class Stopped(Exception):
    """Nobody wants the rest any more; never seen by a user."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as its server tells of it.

    Attributes:
        url: where it is.
        name: its path from the folder that was listed, as the server says it: not to be trusted.
        size: in bytes; None where that was not told.
        identity: changes with the content; "" where nothing was told.
        modified: when it was written, in seconds since 1970 by the clock of its server; None where
            that was not told.
    """

    url: str
    name: str
    size: int | None
    identity: str
    modified: float | None = None


class FileSystems:
    """One client a scheme, for several threads at a time."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._lock = Lock()
        self.stop = Event()

    def file(self, url: str) -> RemoteFile:
        """What the server tells of the file ``url``.

        Raises:
            Refused: it is not there or may not be read.
            DataError: no attempt succeeded, or a package is missing.
        """
        found = self._tried(url, lambda client: client.info(_path(url)))
        if found.get("type") == "directory":
            raise Refused(url, "it is a folder", "name a file")
        return _told(url, "", found)

    def files(self, folder: str) -> list[RemoteFile]:
        """All files below ``folder``, in the order of their names.

        Raises:
            DataError: see ``file``.
        """
        root = _path(folder).rstrip("/")
        found = self._tried(folder, lambda client: client.find(root, detail=True))
        inside = [(str(path).removeprefix(root + "/"), told) for path, told in found.items()]
        scheme = scheme_of(folder)
        return [
            _told(f"{scheme}://{root}/{name}", name, told)
            for name, told in sorted(inside, key=lambda each: each[0])
            if told.get("type") == "file" and name and not name.endswith("/")
        ]

    def folders(self, folder: str) -> list[str]:
        """The names of the folders right below ``folder``, as the server says them; none where it
        is not there.

        Raises:
            DataError: see ``file``.
        """
        root = _path(folder).rstrip("/")
        try:
            found = self._tried(folder, lambda client: client.ls(root, detail=True))
        except NotThere:
            return []
        inside = [each for each in found if each.get("type") == "directory"]
        names = (str(each["name"]).rstrip("/").removeprefix(root + "/") for each in inside)
        return sorted(name for name in names if name)

    def download(self, file: RemoteFile, target: Path, told: Callable[[int], None]) -> None:
        """Write the content of ``file`` to ``target``.

        Args:
            told: called with the bytes so far, from any thread; ends the download by raising.

        Raises:
            DataError: see ``file``; also where its size is not what was told.
            OSError: ``target`` cannot be written.
        """
        import fsspec

        def hook(size: int | None, value: int, **_: Any) -> None:
            if self.stop.is_set():
                raise Stopped
            told(value)

        def get(client: Any) -> None:
            told(0)
            callback = fsspec.callbacks.Callback(hooks={"told": hook})
            client.get_file(_path(file.url), str(target), callback=callback)
            _check_size(file, target.stat().st_size)

        self._tried(file.url, get)

    def content(self, file: RemoteFile) -> bytes:
        """The bytes of ``file``.

        Raises:
            Unreachable: no attempt succeeded, or its size is not what was told.
            DataError: see ``file``.
        """

        def get(client: Any) -> bytes:
            found: bytes = client.cat_file(_path(file.url))
            _check_size(file, len(found))
            return found

        return self._tried(file.url, get)

    def upload(self, source: Path, url: str) -> None:
        """Write the content of the file ``source`` to ``url``, whole or not at all.

        Raises:
            Refused: it may not be written, or there is no such bucket.
            DataError: no attempt succeeded, or a package is missing.
            OSError: ``source`` cannot be read.
        """
        self._tried(url, lambda client: client.put_file(str(source), _path(url)), "writable")

    def write(self, content: bytes, url: str) -> None:
        """Write a small file to ``url``; see ``upload``."""
        self._tried(url, lambda client: client.pipe_file(_path(url), content), "writable")

    def remove(self, url: str) -> None:
        """Delete the file ``url``, where it is there.

        Raises:
            DataError: see ``upload``.
        """
        try:
            self._tried(url, lambda client: client.rm_file(_path(url)), "writable")
        except NotThere:
            return

    def _tried(self, url: str, ask: Callable[[Any], T], rule: str = "there and readable") -> T:
        client, scheme = self._client(url), scheme_of(url)
        # What reads gs:// goes on trying for a minute by itself.
        waits = () if scheme == "gs" else WAITS
        for wait in (*waits, None):
            try:
                return ask(client)
            except (DataError, Stopped):
                raise
            except Exception as error:
                if disk_is_full(error) or is_local(error):
                    raise
                if refused := refusal(url, error, scheme, rule):
                    raise refused from None
                if wait is None:
                    reason, _ = judged(error, scheme)
                    raise _unreachable(url, len(waits) + 1, reason, rule) from None
            if self.stop.wait(wait):
                raise Stopped
        raise AssertionError

    def _client(self, url: str) -> Any:
        scheme = scheme_of(url)
        with self._lock:
            if scheme not in self._clients:
                self._clients[scheme] = _opened(url, scheme)
            return self._clients[scheme]


def _unreachable(url: str, attempts: int, reason: str, rule: str) -> Unreachable:
    tried = f"{attempts} attempts" if attempts > 1 else "a minute of attempts"
    kept = "" if rule == "writable" else ", what was fetched is kept"
    rule = rule.rpartition(" ")[2]
    return Unreachable(
        f"{shown(url)} must be {rule}, but {tried} failed ({reason}); try again later{kept}"
    )


def _check_size(file: RemoteFile, size: int) -> None:
    if file.size is not None and size != file.size:
        raise OtherSize(f"{size:,} of {file.size:,} bytes came")


def _opened(url: str, scheme: str) -> Any:
    try:
        import fsspec

        # What was listed before may have changed since.
        options: dict[str, Any] = {"use_listings_cache": False}
        if is_web(url):
            import aiohttp

            # By default a download may take five minutes, however large it is.
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_SECONDS_TO_CONNECT, sock_read=_SECONDS_OF_SILENCE
            )
            options["client_kwargs"] = {"timeout": timeout, "trust_env": True}
        elif scheme == "s3":
            options["config_kwargs"] = {
                "retries": {"mode": "standard", "total_max_attempts": 2},
                "connect_timeout": _SECONDS_TO_CONNECT,
                "read_timeout": _SECONDS_OF_SILENCE,
            }
        elif scheme == "gs":
            # Else gcsfs asks another service of what kind a bucket is, for each file and over gRPC:
            # for a minute each where only HTTP is answered, as by emulators and through proxies.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        # Kept clients would remember credentials that have changed since.
        client = fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError:
        raise DataError(
            f"{shown(url)} needs the package {_PACKAGES[scheme]}, but it is not installed; run "
            "pip install 'automl-img[remote]'"
        ) from None
    except Exception as error:
        reason, hint = judged(error, scheme)
        raise Refused(url, reason, hint or credentials(scheme)) from None
    # What they log of a failure has tracebacks and may have signed URLs; it is told all the same.
    for name in ("fsspec", "gcsfs", "s3fs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    client.loop.set_exception_handler(_tell_others)
    if scheme == "s3":
        # Else three layers would try again, and an outage would take them many minutes to tell.
        client.retries = 1
    return client


def _tell_others(loop: Any, context: dict[str, Any]) -> None:
    """Where a connection breaks off as it is written to, aiohttp leaves a task that has failed too:
    what asked for it is told, and asyncio would print a traceback of it as well."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


def _path(url: str) -> str:
    """As fsspec's clients have it. Its own reading of URLs is not used: it follows chains such as
    ``https://x::file:///etc/passwd``, which a table of others may hold."""
    return url if is_web(url) else url.partition("://")[2]


def _told(url: str, name: str, told: dict[str, Any]) -> RemoteFile:
    size = told.get("size")
    signs = [f"{key} {told[key]}" for key in _SIGNS if told.get(key)][:1]
    signs += [] if size is None else [f"size {size}"]
    return RemoteFile(url, name, size, ", ".join(signs), _time(told))


def _time(told: dict[str, Any]) -> float | None:
    for value in (told[key] for key in _TIMES if told.get(key)):
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return datetime.datetime.fromisoformat(str(value)).timestamp()
        except ValueError:
            continue
    return None
