"""The URL of a server that keeps studies, as people type it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

_SCHEME = "postgresql"
_RULE = f"must be as {_SCHEME}://user@host:5432/database"


class Secret(ValueError):
    """What was typed holds a password, so it is not to be shown again."""


def check_server(url: str) -> None:
    """
    Args:
        url: of a database of a PostgreSQL server; what it leaves out, libpq knows.

    Raises:
        Secret: it holds a password, which would come into ``run.json``.
        ValueError: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        password, _ = parts.password, parts.port
    except ValueError:
        raise ValueError(_RULE) from None
    named = [name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if password is not None or any("password" in name for name in named):
        raise Secret(
            "must hold no password, which a run would keep; give it as PGPASSWORD, or in ~/.pgpass"
        )
    if parts.scheme != _SCHEME or not parts.path.strip("/") or set(url) & set("{} \t\n"):
        raise ValueError(_RULE)
