"""What went wrong between here and a server, told in words of ours.

What the libraries raise is never shown, as it may hold a signed URL.
"""

from __future__ import annotations

import os

from automl_img.data.urls import shown
from automl_img.errors import DataError

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_NOT_THERE, _FORBIDDEN = (404, 410), (401, 403, 407)
_WORDS = {
    "gaierror": "its host was not found",
    "EndpointConnectionError": "no connection",
    "ConnectionClosedError": "the connection broke off",
    "ClientConnectionResetError": "the connection broke off",
    "ClientPayloadError": "the connection broke off",
    "ServerDisconnectedError": "the connection broke off",
    "TimeoutError": "no answer in time",
    "ConnectTimeoutError": "no answer in time",
    "ReadTimeoutError": "no answer in time",
}


class Refused(DataError):
    """A file is not there, or may not be read or written, and that will not change by itself.

    Attributes:
        reason: why, for a list of what was left out.
        hint: what to do.
    """

    def __init__(self, url: str, reason: str, hint: str, rule: str = "there and readable") -> None:
        super().__init__(f"{shown(url)} must be {rule}, but {reason}; {hint}")
        self.reason, self.hint = reason, hint


class NotThere(Refused):
    """There is no such file, or no such bucket."""


class OtherSize(Exception):
    """A file came with other bytes than its server told; a later attempt may succeed."""


def is_local(error: BaseException) -> bool:
    """Whether it names a file of this machine; those of servers are named by URL or not at all."""
    return isinstance(error, OSError) and os.path.isabs(str(error.filename or ""))


def refusal(url: str, error: BaseException, scheme: str, rule: str) -> Refused | None:
    """``error`` as one that will not change by itself; None where a later attempt may succeed."""
    reason, hint = judged(error, scheme)
    if not hint:
        return None
    kind = NotThere if reason == _NO_FILE else Refused
    return kind(url, reason, hint, rule)


_NO_FILE = "no such file"


def judged(error: BaseException, scheme: str) -> tuple[str, str]:
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
        return "no credentials were found", credentials(scheme)
    if status in _NOT_THERE or (status is None and isinstance(root, FileNotFoundError)):
        return _NO_FILE, "look for a mistake in its name"
    # What reads gs:// tells of a refusal by its words alone.
    forbidden = isinstance(root, PermissionError) or str(root).startswith("Forbidden: ")
    if status in _FORBIDDEN or (status is None and forbidden):
        return "access was refused", credentials(scheme)
    if status is not None:
        lasting = "look for a mistake in its name" if status not in _PASSING else ""
        return f"the server answered {status}", lasting
    if isinstance(root, (ValueError, TypeError)) or type(root).__name__ == "ParamValidationError":
        return f"its name is not valid ({type(root).__name__})", "mend it"
    if isinstance(root, OtherSize):
        return str(root), ""
    if isinstance(root, OSError) and root.errno and root.errno > 0:
        return os.strerror(root.errno).lower(), ""
    return type(root).__name__, ""


def credentials(scheme: str) -> str:
    """Where those of a scheme come from."""
    where = {
        "s3": "from the environment or ~/.aws, as for boto3",
        "gs": "from the environment, as for gcloud",
    }
    return f"credentials come {where.get(scheme, 'from ~/.netrc')}"


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an error of aiohttp, gcsfs or botocore tells."""
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    named = getattr(error, "status", None) or getattr(error, "code", None)
    for value in (named, told.get("HTTPStatusCode")):
        if isinstance(value, (int, str)) and str(value).isdecimal() and int(value) >= 400:
            return int(value)
    return None
