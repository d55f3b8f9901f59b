"""Where the head of a cluster is, and whether it is safe to speak to it there."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from automl_img.errors import SettingsError

DEFAULT = "http://127.0.0.1:8265"
# As Ray's own client has them; the first counts more.
VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_RULE = "--address must be http://HOST:PORT or https://HOST:PORT of the dashboard of a Ray head"


@dataclass(frozen=True)
class Address:
    """The dashboard of a head.

    Attributes:
        url: ``"http://HOST:PORT"``, or with https.
        host: without brackets.
        typed: whether the user typed it, and has to do so again.
    """

    url: str
    host: str
    typed: bool

    @property
    def is_here(self) -> bool:
        """Whether nothing leaves this machine on the way, as with an SSH tunnel."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def is_clear(self) -> bool:
        """Whether others on the way can read what is sent."""
        return self.url.startswith("http://") and not self.is_here

    @property
    def option(self) -> str:
        """What has to be typed after another command to get there again."""
        return f" --address {self.url}" if self.typed else ""


def find_address(typed: str | None) -> Address:
    """The address that was typed, else that of the environment, else port 8265 of this machine.

    Raises:
        SettingsError: it is none.
    """
    for name in VARIABLES if typed is None else ():
        if found := os.environ.get(name):
            return _parsed(found, f"; it is from {name}", typed=False)
    return _parsed(DEFAULT if typed is None else typed, "", typed=typed is not None)


def _parsed(text: str, origin: str, *, typed: bool) -> Address:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"{_RULE}, but got {text!r}{origin}") from None
    if parts.username is not None or parts.password is not None:
        # The text may be secret.
        raise SettingsError(f"{_RULE}, without a user or password{origin}; use RAY_AUTH_TOKEN_PATH")
    extra = parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not host or not port or extra:
        raise SettingsError(f"{_RULE}, but got {text!r}{origin}")
    shown = f"[{host}]" if ":" in host else host
    return Address(f"{parts.scheme}://{shown}:{port}", host, typed)
