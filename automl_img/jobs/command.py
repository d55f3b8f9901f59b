"""What a job runs: the words of a command, and the files that these name.

The nodes do not see the files of this machine. So a space file and a table of URLs are sent along;
an absolute path is one of the nodes, whether it is one here or not; all else that is a file here is
refused.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from automl_img import plugins
from automl_img.data import sources
from automl_img.data.listing import typed_path
from automl_img.data.urls import file_name, is_url, shown
from automl_img.errors import DataError, SettingsError, did_you_mean
from automl_img.jobs.job import FILES, RUNS, is_run_name
from automl_img.mirror.address import address_of, run_at
from automl_img.settings import SearchSettings

# Kinds of data that are the same everywhere, and those that are sent.
_NAMES, _TABLES = ("builtin", "tensorflow_datasets"), ("table", "json_lines")
# Ray keeps what is sent in the memory of the head, and takes 100 MiB at most.
_MAX_BYTES = 50_000_000
# Enough of a table to see whether it has URLs.
_SAMPLE = 1 << 16
_URL = re.compile(r"\b(s3|gs|gcs|https?)://[^/\s]", re.IGNORECASE)


@dataclass(frozen=True)
class Command:
    """
    Attributes:
        words: as after ``automl-img``.
        run: the name of the run.
        out: the folder of all run folders on the head.
        files: what is sent along, by its path in the folder that the job runs in.
    """

    words: tuple[str, ...]
    run: str
    out: str
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[str, ...]:
        """``words`` for other eyes: without what may be secret in a URL."""
        return tuple(shown(word) for word in self.words)


def search_command(settings: SearchSettings, asked: Mapping[str, Any]) -> Command:
    """A search on the head.

    Args:
        settings: checked.
        asked: of them those that are not defaults; the head has the same ones.

    Raises:
        SettingsError: a path is one of this machine.
        DataError: the data are images of this machine.
    """
    name = settings.name or _name(settings.data)
    out = _out(settings.out) if "out" in asked else RUNS
    files: dict[str, Path] = {}
    data = _data(settings.data, files)
    values = {**asked, "name": name, "out": out}
    if os.path.isfile(settings.space):
        values["space"] = _sent(Path(settings.space), files)
    if settings.weights_dir is not None:
        values["weights_dir"] = _on_the_nodes("--weights-dir", settings.weights_dir)
    for run in settings.warm_start:
        if not is_run_name(run) and not is_url(run):
            _on_the_nodes("--warm-start", run)
    values.pop("data", None)
    return Command(("search", data, *_options(values)), name, out, files)


def resume_command(run: str, out: str | None, asked: Mapping[str, Any]) -> Command:
    """Going on with a run on the head, or at a URL.

    Args:
        run: a name or a URL.

    Raises:
        SettingsError: ``run`` is no name, ``out`` is a path of this machine, or said twice.
        RunError: ``run`` is a URL that is not one of a run.
    """
    if is_url(run) and (found := run_at(run, "")) and found[1]:
        if out is not None:
            raise SettingsError(f"a run at a URL needs no --out, but got {out!r}; leave that out")
        out, run = found[0].url, found[1]
    if not is_run_name(run):
        raise SettingsError(
            f"the run must be a name, as automl-img jobs list shows it, or a URL, but got {run!r}; "
            "where its folder lies on the head is said with --out"
        )
    where = RUNS if out is None else _out(out)
    return Command(("resume", run, *_options({**asked, "out": where})), run, where)


def _options(values: Mapping[str, Any]) -> list[str]:
    """Settings as they are typed."""
    words = []
    for key, value in values.items():
        option = f"--{key.replace('_', '-')}"
        if isinstance(value, dict):
            for name, typed in value.items():
                words += [option, f"{name}={typed}"]
        elif isinstance(value, (tuple, list)):
            for item in value:
                words += [option, str(item)]
        elif value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return words


def _name(data: str) -> str:
    """As a search would name its run, with this machine's clock."""
    text = file_name(data) if is_url(data) else PurePosixPath(data).name
    stem = re.sub(r"[^\w-]+", "-", text.partition(".")[0]).strip("-") or "run"
    return f"{stem[:60]}-{time.strftime('%Y%m%d-%H%M%S')}"


def _out(typed: str) -> str:
    """
    Raises:
        SettingsError: no runs can be there.
    """
    address = address_of(typed)
    return _on_the_nodes("--out", typed) if address is None else address.url


def _on_the_nodes(option: str, path: str) -> str:
    if path.startswith("~") or PurePosixPath(path).is_absolute():
        return path
    raise SettingsError(
        f"{option} must be an absolute path, as the nodes of the cluster see it, but got {path!r}"
    )


def _data(data: str, files: dict[str, Path]) -> str:
    if is_url(data) or PurePosixPath(data).is_absolute():
        return data
    # In the order in which a search asks them.
    names = plugins.leaf_names(sources)
    kinds = [name for name in names if plugins.leaf(sources, name).accepts(data)]
    if kinds and kinds[0] in _NAMES:
        return data
    path = typed_path(data)
    if not kinds or kinds[0] not in _TABLES:
        where = (
            "is on this machine" if path.exists() else "is neither here nor a name that is known"
        )
        known = plugins.leaf(sources, "builtin").NAMES
        hint = "" if path.exists() else did_you_mean(data, known)
        raise DataError(
            f"{data} {where}{hint}; images are not sent, so give a URL, the absolute path that all "
            "nodes see them under, a table of URLs or the name of a data set"
        )
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(
            f"a table that is sent must have at most {_MAX_BYTES // 10**6} MB, but {data} has "
            f"{path.stat().st_size / 1e6:.0f}; put it where the nodes see it, or behind a URL"
        )
    with path.open("rb") as stream:
        sample = stream.read(_SAMPLE).decode("utf-8", "replace")
    if not _URL.search(sample):
        raise DataError(
            f"{data} must name its images by URLs, as those of this machine are not sent; put it "
            "where the nodes see it beside them, and give its absolute path"
        )
    return _sent(path, files)


def _sent(path: Path, files: dict[str, Path]) -> str:
    number = len(files)
    name = f"{FILES}/{number}/{path.name}"
    files[name] = path
    return name
