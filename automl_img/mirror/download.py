"""Run folders fetched from URLs. Names and sizes come from a server and are not trusted."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from automl_img.data.cache import NoRoom, check_space
from automl_img.data.failures import NotThere
from automl_img.data.filesystems import FileSystems, RemoteFile
from automl_img.data.urls import shown
from automl_img.errors import RunError
from automl_img.events import Listener, Phase
from automl_img.files import replacing, write_json
from automl_img.mirror.address import is_plain
from automl_img.mirror.manifest import DRIVER, FETCHING, MANIFEST, Manifest, Memory, beside
from automl_img.mirror.snapshot import signature_of

_AT_ONCE = 8
_MOST_FILES = 100_000
_LARGEST_MANIFEST = 50_000_000
# Bytes that a file may grow by between its listing and its download.
_GROWN = 100_000_000
FETCHED = ".fetched.json"


class NoRun(RunError):
    """There is none at a URL."""


def files_at(server: FileSystems, url: str) -> dict[str, RemoteFile]:
    """The files of the run at ``url`` by their paths in its folder; none where there is no run.

    Raises:
        RunError: there is a file that no run has.
        DataError: the server does not tell.
    """
    try:
        found = server.files(url)
    except NotThere:
        return {}
    if len(found) > _MOST_FILES:
        raise RunError(
            f"{shown(url)} must be a run folder, but has {len(found):,} files; name another"
        )
    own = (MANIFEST, DRIVER)
    return {
        each.name: each
        for each in found
        if each.name not in own and not _is_hidden(each.name) and _check(each.name, url)
    }


def manifest_at(server: FileSystems, url: str) -> Manifest | None:
    """What was told at ``url`` of the files there; None where nothing was, or what cannot be read.

    Raises:
        DataError: the server does not answer.
    """
    return Manifest.from_text(small_file(server, f"{url}/{MANIFEST}", _LARGEST_MANIFEST))


def small_file(server: FileSystems, url: str, most: int) -> bytes | None:
    """The content of a file; None where it is missing or larger than ``most`` bytes.

    Raises:
        DataError: the server does not answer.
    """
    try:
        file = server.file(url)
        return None if (file.size or 0) > most else server.content(file)
    except NotThere:
        return None


def fetch_run(server: FileSystems, url: str, target: Path, listener: Listener) -> None:
    """Make ``target`` a copy of the run at ``url``, whole or not at all.

    Args:
        target: there must be nothing of that name.

    Raises:
        RunError: it is no run folder, or does not fit on the disk.
        DataError: a file cannot be read.
    """
    told = manifest_at(server, url) or Manifest("")
    files = files_at(server, url)
    if "run.json" not in files:
        raise NoRun(f"{shown(url)} is not a run folder: it has no run.json")
    _check_room(target.parent, files.values(), url)
    size = sum(file.size or 0 for file in files.values())
    listener(Phase(f"fetching {shown(url)}, {-(-size // 10**6):,} MB"))
    copy = beside(target, FETCHING)
    shutil.rmtree(copy, ignore_errors=True)
    try:
        copy.mkdir(parents=True)

        def get(name: str) -> None:
            _get(server, files[name], copy / name)
            # When it was written here; a file that came after the rest was told was written then.
            entry, modified = told.files.get(name), files[name].modified
            if entry is not None and entry.size == files[name].size:
                os.utime(copy / name, ns=(entry.modified, entry.modified))
            elif modified is not None:
                os.utime(copy / name, (modified, modified))

        _each(get, list(files))
        signatures = {name: signature_of(copy / name) or () for name in files}
        Memory(url, told, signatures).write(copy)
        copy.rename(target)
    except OSError as error:
        raise _not_written(target.parent, error) from None
    except BaseException:
        # What is under way ends soon.
        server.stop.set()
        raise
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def fetch_files(server: FileSystems, url: str, target: Path, wanted: Callable[[str], bool]) -> None:
    """Bring those files of the run at ``url`` that are ``wanted`` up to date in ``target``, each
    whole; to be read alone.

    Raises:
        RunError: see ``fetch_run``.
        DataError: see ``fetch_run``.
    """
    files = {name: file for name, file in files_at(server, url).items() if wanted(name)}
    if "run.json" not in files:
        raise NoRun(f"{shown(url)} is not a run folder: it has no run.json")
    before = _fetched(target)
    new = [
        name
        for name, file in files.items()
        if before.get(name) != file.identity or not (target / name).is_file()
    ]
    try:
        _check_room(target, [files[name] for name in new], url)
        target.mkdir(parents=True, exist_ok=True)
        # Those of a run that is being searched change meanwhile, and go.
        _each(lambda name: _get_present(server, files[name], target / name), new)
        for name in before:
            if name not in files and wanted(name):
                (target / name).unlink(missing_ok=True)
        kept = {name: each for name, each in before.items() if not wanted(name)}
        told = {name: file.identity for name, file in files.items()}
        write_json(target / FETCHED, {**kept, **told})
    except OSError as error:
        raise _not_written(target, error) from None


def _fetched(target: Path) -> dict[str, str]:
    try:
        content = (target / FETCHED).read_bytes()
        kept = json.loads(content)
        return {name: str(each) for name, each in kept.items() if _check(name, "")}
    except (OSError, ValueError, AttributeError, RunError):
        return {}


def _get(server: FileSystems, file: RemoteFile, target: Path, grown: int = 0) -> None:
    """
    Args:
        grown: bytes that the file may have more than it had.
    """
    most = None if file.size is None else file.size + grown

    def told(size: int) -> None:
        if most is not None and size > most:
            raise RunError(f"{shown(file.url)} is larger than its server says; try again")

    if grown:
        file = dataclasses.replace(file, size=None)
    with replacing(target) as temporary:
        server.download(file, temporary, told)


def _get_present(server: FileSystems, file: RemoteFile, target: Path) -> None:
    with suppress(NotThere):
        _get(server, file, target, _GROWN)


def _each(do: Callable[[str], None], names: Sequence[str]) -> None:
    pool = ThreadPoolExecutor(_AT_ONCE, "fetch")
    try:
        for _ in pool.map(do, names):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _check_room(folder: Path, files: Iterable[RemoteFile], url: str) -> None:
    needed = sum(file.size or 0 for file in files)
    try:
        check_space(folder, needed)
    except NoRoom as error:
        raise RunError(
            f"{shown(url)} takes {needed / 1e6:,.0f} MB, but {error.free / 1e6:,.0f} MB are left "
            f"for {folder}; make room, or let AUTOML_IMG_CACHE (or --to) name another disk"
        ) from None


def _is_hidden(name: str) -> bool:
    """As what systems leave beside files of others; ``..`` is no such name."""
    return any(part.startswith(".") and part.strip(".") for part in name.split("/"))


def _check(name: str, url: str) -> bool:
    """
    Raises:
        RunError: ``name`` is not that of a file in a run folder.
    """
    if not all(map(is_plain, name.split("/"))):
        raise RunError(f"a run folder has no file {name!r}, but {shown(url)} does; remove it")
    return True


def _not_written(folder: Path, error: OSError) -> RunError:
    return RunError(
        f"{folder} must be writable for a copy of the run, but {error.strerror or error}; mend "
        "that, or let AUTOML_IMG_CACHE (or --to) name another folder"
    )
