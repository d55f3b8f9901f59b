"""URLs of run folders, and where their copies are on this machine."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from automl_img.data.cache import cache_root
from automl_img.data.urls import file_name, has_password, is_url, is_web, scheme_of, shown
from automl_img.errors import RunError, SettingsError

FOLDER = "runs"
FOR_READING = ".read"
_ANY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Address:
    """Where run folders lie together at a URL.

    Attributes:
        url: of the folder of all of them, without a slash at its end.
    """

    url: str

    def of_run(self, name: str) -> str:
        """The URL of a run."""
        return f"{self.url}/{name}"

    @property
    def folder(self) -> Path:
        """Where this machine has the copies that it searches in."""
        key = hashlib.sha256(self.url.encode()).hexdigest()[:24]
        return cache_root() / FOLDER / key

    @property
    def for_reading(self) -> Path:
        """Where it has what was fetched of runs to be looked at."""
        return self.folder / FOR_READING


def address_of(out: str | Path) -> Address | None:
    """``out`` as the URL of a folder of runs; None where it is a path.

    Raises:
        SettingsError: it is a URL that runs cannot be written to.
    """
    typed = str(out)
    if not is_url(typed):
        if _ANY_URL.match(typed):
            raise SettingsError(
                f"--out must be a folder or a URL of s3:// or gs://, but got {shown(typed)!r}"
            )
        return None
    if has_password(typed):
        raise SettingsError(
            f"--out must be given without a user or password, but {shown(typed)} had one; "
            "credentials come from the environment"
        )
    if is_web(typed):
        raise SettingsError(
            f"--out must be a folder or a URL of s3:// or gs://, as a web server takes no files, "
            f"but got {shown(typed)}"
        )
    return Address(f"{scheme_of(typed)}://{typed.partition('://')[2].strip('/')}")


def run_at(run: str | Path | None, out: str | Path) -> tuple[Address, str | None] | None:
    """The address and the name of ``run``, where it or ``out`` is a URL; None for runs here.

    Args:
        run: a URL, or the name of a run in ``out``; None for the newest one.

    Raises:
        SettingsError: see ``address_of``.
        RunError: ``run`` names no run.
    """
    if run is not None and is_url(str(run)):
        found = address_of(str(run))
        name = file_name(str(run))
        if found is None or "/" not in found.url.partition("://")[2]:
            raise RunError(f"a run must be s3://BUCKET/FOLDER/NAME or such, but got {run}")
        return Address(found.url.rpartition("/")[0]), plain_name(name)
    address = address_of(out)
    if address is None or (run is not None and (Path(run) / "run.json").is_file()):
        return None
    return address, None if run is None else plain_name(str(run))


def plain_name(name: str) -> str:
    """
    Raises:
        RunError: ``name`` cannot be that of a run folder.
    """
    if not is_plain(name):
        raise RunError(f"a run's name must be a plain file name, but got {name!r}")
    return name


def is_plain(name: str) -> bool:
    """Whether ``name`` is that of a file in a folder, which nobody hides."""
    hidden = not name or name.startswith(".") or len(name.encode(errors="replace")) > 255
    return not hidden and not set(name) & set('/\\:*?"<>|\0\n\r')
