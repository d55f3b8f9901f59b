"""Files behind URLs, read through fsspec, again where a later attempt may succeed.

What the libraries raise is never shown, as it may hold a signed URL: it is told in words of ours.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any, TypeVar

from automl_img.data.urls import is_web, scheme_of, shown
from automl_img.errors import DataError, Unreachable
from automl_img.files import disk_is_full

# Seconds before the second attempt, the third and the fourth, which is the last.
WAITS = (0.5, 2.0, 8.0)
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "https": "aiohttp", "http": "aiohttp"}
# The first that a server tells; with the size it says whether a file is still the same.
_SIGNS = ("ETag", "etag", "md5Hash", "Content-MD5", "LastModified", "Last-Modified", "updated")
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_NOT_THERE, _FORBIDDEN = (404, 410), (401, 403, 407)
_WORDS = {
    "gaierror": "its host was not found",
    "EndpointConnectionError": "no connection",
    "ClientPayloadError": "the connection broke off",
    "ServerDisconnectedError": "the connection broke off",
    "TimeoutError": "no answer in time",
    "ReadTimeoutError": "no answer in time",
}
_SECONDS_TO_CONNECT, _SECONDS_OF_SILENCE = 30, 60

T = TypeVar("T")


class Refused(DataError):
    """A file is not there or may not be read, and that will not change by itself.

    Attributes:
        reason: why, for a list of what was left out.
    """

    def __init__(self, url: str, reason: str, hint: str) -> None:
        super().__init__(f"{shown(url)} must be there and readable, but {reason}; {hint}")
        self.reason = reason


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
    """

    url: str
    name: str
    size: int | None
    identity: str


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

    def _tried(self, url: str, ask: Callable[[Any], T]) -> T:
        client, scheme = self._client(url), scheme_of(url)
        # What reads gs:// goes on trying for a minute by itself.
        waits = () if scheme == "gs" else WAITS
        for wait in (*waits, None):
            try:
                return ask(client)
            except (DataError, Stopped):
                raise
            except Exception as error:
                if disk_is_full(error) or _is_local(error):
                    raise
                reason, hint = _judged(error, scheme)
                if hint:
                    raise Refused(url, reason, hint) from None
                if wait is None:
                    attempts = f"{len(waits) + 1} attempts" if waits else "a minute of attempts"
                    raise Unreachable(
                        f"{shown(url)} must be readable, but {attempts} failed ({reason}); try "
                        "again later, what was fetched is kept"
                    ) from None
            if self.stop.wait(wait):
                raise Stopped
        raise AssertionError

    def _client(self, url: str) -> Any:
        scheme = scheme_of(url)
        with self._lock:
            if scheme not in self._clients:
                self._clients[scheme] = _opened(url, scheme)
            return self._clients[scheme]


class _OtherSize(Exception):
    pass


def _check_size(file: RemoteFile, size: int) -> None:
    if file.size is not None and size != file.size:
        raise _OtherSize(f"{size:,} of {file.size:,} bytes came")


def _opened(url: str, scheme: str) -> Any:
    try:
        import fsspec

        options: dict[str, Any] = {}
        if is_web(url):
            import aiohttp

            # By default a download may take five minutes, however large it is.
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_SECONDS_TO_CONNECT, sock_read=_SECONDS_OF_SILENCE
            )
            options = {"client_kwargs": {"timeout": timeout, "trust_env": True}}
        elif scheme == "s3":
            options = {"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 2}}}
        elif scheme == "gs":
            # Else gcsfs asks another service of what kind a bucket is, for each file and over gRPC:
            # for a minute each where only HTTP is answered, as by emulators and through proxies.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        # Kept clients would remember old listings, and credentials that have changed since.
        client = fsspec.filesystem(scheme, skip_instance_cache=True, **options)
    except ImportError:
        raise DataError(
            f"{shown(url)} needs the package {_PACKAGES[scheme]}, but it is not installed; run "
            "pip install 'automl-img[remote]'"
        ) from None
    except Exception as error:
        reason, hint = _judged(error, scheme)
        raise Refused(url, reason, hint or _credentials(scheme)) from None
    # What they log of a failure has tracebacks and may have signed URLs; it is told all the same.
    for name in ("fsspec", "gcsfs", "s3fs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheme == "s3":
        # Else three layers would try again, and an outage would take them many minutes to tell.
        client.retries = 1
    return client


def _path(url: str) -> str:
    """As fsspec's clients have it. Its own reading of URLs is not used: it follows chains such as
    ``https://x::file:///etc/passwd``, which a table of others may hold."""
    return url if is_web(url) else url.partition("://")[2]


def _told(url: str, name: str, told: dict[str, Any]) -> RemoteFile:
    size = told.get("size")
    signs = [f"{key} {told[key]}" for key in _SIGNS if told.get(key)][:1]
    signs += [] if size is None else [f"size {size}"]
    return RemoteFile(url, name, size, ", ".join(signs))


def _is_local(error: BaseException) -> bool:
    """Whether it names a file of this machine; those of servers are named by URL or not at all."""
    return isinstance(error, OSError) and os.path.isabs(str(error.filename or ""))


def _judged(error: BaseException, scheme: str) -> tuple[str, str]:
    """What went wrong, and what to do about it; "" where a later attempt may succeed."""
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    root, names = chain[-1], [type(each).__name__ for each in chain]
    # Before any status: aiohttp gives one to its own error where a connection breaks off.
    if known := [_WORDS[name] for name in names if name in _WORDS]:
        return known[0], ""
    status = next(filter(None, map(_status, chain)), None)
    if "Credential" in type(root).__name__:
        return "no credentials were found", _credentials(scheme)
    if status in _NOT_THERE or (status is None and isinstance(root, FileNotFoundError)):
        return "no such file", "look for a mistake in its name"
    # What reads gs:// tells of a refusal by its words alone.
    forbidden = isinstance(root, PermissionError) or str(root).startswith("Forbidden: ")
    if status in _FORBIDDEN or (status is None and forbidden):
        return "access was refused", _credentials(scheme)
    if status is not None:
        lasting = "look for a mistake in its name" if status not in _PASSING else ""
        return f"the server answered {status}", lasting
    if isinstance(root, (ValueError, TypeError)) or type(root).__name__ == "ParamValidationError":
        return f"its name is not valid ({type(root).__name__})", "mend it"
    if isinstance(root, _OtherSize):
        return str(root), ""
    if isinstance(root, OSError) and root.errno and root.errno > 0:
        return os.strerror(root.errno).lower(), ""
    return type(root).__name__, ""


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an error of aiohttp, gcsfs or botocore tells."""
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    named = getattr(error, "status", None) or getattr(error, "code", None)
    for value in (named, told.get("HTTPStatusCode")):
        if isinstance(value, (int, str)) and str(value).isdecimal() and int(value) >= 400:
            return int(value)
    return None


def _credentials(scheme: str) -> str:
    where = {
        "s3": "from the environment or ~/.aws, as for boto3",
        "gs": "from the environment, as for gcloud",
    }
    return f"credentials come {where.get(scheme, 'from ~/.netrc')}"
