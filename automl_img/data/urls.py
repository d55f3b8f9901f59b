"""URLs as text: told from paths, joined with names, and shown without what is secret in them."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, unquote

from automl_img.data.listing import valid_unicode

SCHEMES = ("s3", "gs", "gcs", "https", "http")
_URL = re.compile(rf"({'|'.join(SCHEMES)})://[^/]", re.IGNORECASE)
_ANY = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_WEB = re.compile(r"([^/?#]*)(/?)([^?#]*)")


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL of a kind that is read here; all else is a path."""
    return _URL.match(text) is not None


def why_not_read(text: str) -> str | None:
    """What is wrong with a URL that is none of those read here, to follow "must"; None of what is
    no URL. It repeats nothing but the scheme, as there may be a password behind it."""
    found = _ANY.match(text)
    if found is None or is_url(text):
        return None
    scheme = found[1].lower()
    if scheme in SCHEMES:
        return f"name a bucket or host behind {scheme}://, but there is none; mend the URL"
    instead = (
        "give the path alone" if scheme == "file" else "copy the data to one of these, or here"
    )
    return f"begin with s3://, gs://, https:// or http://, but is of {scheme}://; {instead}"


def scheme_of(url: str) -> str:
    """``"s3"``, ``"gs"``, ``"https"`` or ``"http"``."""
    scheme = url.partition("://")[0].lower()
    return "gs" if scheme == "gcs" else scheme


def is_web(url: str) -> bool:
    """Whether it is of a web server, which tells one file at a time and lists none."""
    return scheme_of(url) in ("https", "http")


def shown(text: str) -> str:
    """``text``; of a URL without user, password, query and fragment, as these may be secret."""
    if not is_url(text):
        return text
    host, slash, path = _cut(text)
    return valid_unicode(f"{scheme_of(text)}://{host.rpartition('@')[2]}{slash}{path}")


def has_password(url: str) -> bool:
    """Whether a user, and perhaps a password, stand before the host."""
    return "@" in _cut(url)[0]


def file_name(url: str) -> str:
    """The last part of the path; of a host or bucket alone its name."""
    host, _, path = _cut(url)
    name = path.rstrip("/").rpartition("/")[2] or host.rpartition("@")[2]
    return unquote(name) if is_web(url) else name


def folder_of(url: str) -> str:
    """The URL of the folder that a file lies in, without query."""
    host, _, path = _cut(url)
    return f"{scheme_of(url)}://{host}/{path.rpartition('/')[0]}"


def joined(folder: str, name: str) -> str:
    """The URL of the file that a table in ``folder`` names; it never leaves the host or bucket."""
    host, _, path = _cut(folder)
    name = name.replace("\\", "/")
    inside = posixpath.normpath(posixpath.join("/", path, quote(name) if is_web(folder) else name))
    return f"{scheme_of(folder)}://{host}/{inside.lstrip('/')}"


def _cut(url: str) -> tuple[str, str, str]:
    """Host or bucket, "/" or "", and path. A key of a bucket may hold "?" and "#"."""
    rest = url.partition("://")[2]
    found = _WEB.match(rest) if is_web(url) else None
    return (found[1], found[2], found[3]) if found else rest.partition("/")
