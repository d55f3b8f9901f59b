"""Runs at URLs that are looked at and not gone on with: what that needs is fetched."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from automl_img.data.filesystems import FileSystems
from automl_img.data.urls import shown
from automl_img.errors import DataError, RunError
from automl_img.mirror.address import Address, address_of, is_plain, run_at
from automl_img.mirror.download import NoRun, fetch_files
from automl_img.runs import Run, all_runs, find_run

_OF_A_LIST = ("run.json", "trials.jsonl", "test.json")
# What only the search itself needs, which may be large.
_OF_THE_SEARCH = ("trials/", "winner/", "study.db")
_AT_ONCE = 8


def runs_in(out: str | Path) -> list[Run]:
    """All runs in ``out``, a folder or a URL, the newest first.

    Raises:
        SettingsError: no run can be at such a URL.
        DataError: the URL cannot be read.
    """
    address = address_of(out)
    return all_runs(Path(out)) if address is None else read_runs(address)


def read_runs(address: Address) -> list[Run]:
    """All runs at ``address`` with what a list of them needs, the newest first.

    Raises:
        DataError: the URL cannot be read.
    """
    server = FileSystems()
    names = [name for name in server.folders(address.url) if is_plain(name)]
    folder = address.for_reading

    def fetch(name: str) -> str | None:
        # A folder of something else.
        with suppress(RunError):
            fetch_files(server, address.of_run(name), folder / name, _OF_A_LIST.__contains__)
            return name
        return None

    with ThreadPoolExecutor(_AT_ONCE, "fetch") as pool:
        found = set(pool.map(fetch, names))
    return [_known_at(run, address) for run in all_runs(folder) if run.name in found]


def read_run(run: str | Path | None, out: str | Path) -> Run:
    """A run, brought here where it is at a URL, without what only a search needs of it.

    Args:
        run: see ``automl_img.runs.find_run``; it may be a URL, as ``out`` may.

    Raises:
        RunError: there is no such run.
        SettingsError: no run can be at such a URL.
        DataError: the URL cannot be read.
    """
    found = run_at(run, out)
    if found is None:
        return find_run(run, Path(out))
    address, named = found
    name = named or newest_name(address)
    copy = address.for_reading / name
    try:
        fetch_files(FileSystems(), address.of_run(name), copy, _is_read)
    except NoRun:
        raise no_such_run(address, name) from None
    return _known_at(Run(copy), address)


def _is_read(name: str) -> bool:
    return not name.startswith(_OF_THE_SEARCH)


def newest_name(address: Address) -> str:
    """
    Raises:
        RunError: there is no run.
        DataError: the URL cannot be read.
    """
    runs = read_runs(address)
    if not runs:
        raise RunError(
            f"there is no run at {shown(address.url)}; start one with: automl-img search"
        )
    return runs[0].name


def no_such_run(address: Address, name: str) -> RunError:
    """What to say of a run that is not there."""
    known = ""
    with suppress(DataError):
        known = ", ".join(run.name for run in read_runs(address)[:5])
    return RunError(
        f"there is no run {name!r} at {shown(address.url)}; runs there: {known or 'none yet'}"
    )


def _known_at(run: Run, address: Address) -> Run:
    return dataclasses.replace(run, url=address.of_run(run.name))
