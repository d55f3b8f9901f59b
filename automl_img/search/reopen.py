"""A run folder read back, to go on with it, and what stands against that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from automl_img.budget import Budget
from automl_img.data.prepare import Prepared
from automl_img.errors import RunError, SettingsError, SpaceError
from automl_img.events import Listener, Notice
from automl_img.files import torn_lines
from automl_img.models.hyperparameters import declared
from automl_img.runs import Run
from automl_img.search.hardware import describe_versions
from automl_img.settings import SearchSettings, check
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import build_space, describe_space, find_preset, read_preset

# Settings that name files, relative to where the search was started.
_FILES = ("data", "weights_dir")
# Of ``run.json``, what a later session reads.
_PARTS = ("settings", "search", "data")
# What decides the numbers that a trial gives.
_DECIDING = ("automl-img", "keras", "tensorflow", "numpy")


def settings_of(
    run: Run, budget: str | None, workers: int | None, address: str | None = None
) -> SearchSettings:
    """What was asked of ``run``, with what is asked of this session.

    Args:
        budget, workers, address: see ``automl_img.search.study.resume``.

    Raises:
        RunError: ``run.json`` does not have settings that can be read.
        SettingsError: the budget or the workers cannot be.
    """
    info = run.info
    kept = info.get("settings")
    missing = [name for name in _PARTS if not isinstance(info.get(name), dict)]
    if missing or not isinstance(kept, dict):
        raise RunError(f"the run {run.name} cannot go on: its run.json has no {missing[0]}")
    try:
        asked = check(kept)
    except SettingsError as error:
        raise RunError(f"the run {run.name} cannot go on: its settings: {error}") from None
    changed: dict[str, Any] = {**kept, "budget": _larger(asked, budget)}
    if workers is not None:
        changed["workers"] = workers
    if address is not None:
        changed["address"] = address
    where = Path(info.get("folder", "."))
    for name in _FILES:
        value = kept.get(name)
        # A built-in data set is no file.
        if value is not None and (where / str(value)).exists():
            changed[name] = str(where / str(value))
    return check(changed)


def check_unfinished(run: Run, settings: SearchSettings) -> None:
    """
    Raises:
        RunError: ``run`` has come to its end, and its budget is not larger now. One that was given
            up, as its trials failed or did not fit, has not.
    """
    before = check(run.info["settings"]).allowed
    if has_ended(run, settings):
        raise RunError(
            f"the run {run.name} has come to its end; give it more with --budget: +{_share(before)}"
        )


def has_ended(run: Run, settings: SearchSettings) -> bool:
    """Whether nothing of ``run`` is left to do with a budget as in ``settings``."""
    info = run.info
    # The report comes last, and only then all is done.
    reported = run.report.exists() and run.report.stat().st_mtime >= (info.get("finished") or 0)
    whole = info.get("status") == "finished" and not info.get("given_up")
    return whole and reported and settings.allowed == check(info["settings"]).allowed


def space_of(run: Run, settings: SearchSettings) -> SearchSpace:
    """The space of ``run``, as it began.

    Args:
        settings: of the run, which decide where it was killed before its first session.

    Raises:
        RunError: its file is missing, or was changed since.
    """
    path = run.path / "space.yaml"
    begun = path.exists()
    try:
        if begun:
            space = build_space(str(path), read_preset(path), declared(), {}, {})
        else:
            preset = read_preset(find_preset(settings.space))
            space = build_space(settings.space, preset, declared(), settings.search, settings.fixed)
    except SpaceError as error:
        raise RunError(f"the run {run.name} cannot go on: {error}") from None
    if describe_space(space) != run.info["search"].get("dimensions"):
        raise RunError(
            f"the space of a run stays as it is, but {path} was changed since the run "
            f"{run.name} began; put it back, or search it anew with --warm-start {run.known_as}"
        )
    return space


def check_data(run: Run, prepared: Prepared) -> None:
    """
    Raises:
        RunError: the images are not those that ``run`` began with.
    """
    before = {"splits": {}, **run.info["data"]}
    counts = {part: len(rows) for part, rows in prepared.split.parts().items()}
    if prepared.index.fingerprint == before.get("fingerprint") and counts == before["splits"]:
        return
    changes = [f"{before['splits'].get(part)} -> {count} {part}" for part, count in counts.items()]
    raise RunError(
        f"the data of a run stay as they are, but they were changed since the run {run.name} began "
        f"({', '.join(changes)}); put them back, or search them anew with "
        f"--warm-start {run.known_as}"
    )


def tell_versions(run: Run, listener: Listener) -> None:
    """Say which versions are others than as ``run`` began: trials may differ by that."""
    before, now = run.info.get("versions", {}), describe_versions()
    others = [
        f"{name} {before.get(name)} -> {now[name]}"
        for name in _DECIDING
        if before.get(name) != now[name]
    ]
    if others:
        listener(Notice(f"versions are others than as the run began: {', '.join(others)}"))


def tell_torn(run: Run, listener: Listener) -> None:
    """Say which lines a kill has left torn: other files tell the same, or it is done again."""
    for name in ("trials.jsonl", "started.jsonl"):
        if torn := torn_lines(run.path / name):
            lines = "a line" if torn == 1 else f"{torn} lines"
            listener(Notice(f"{lines} of {name} torn by a kill: left out"))


def _larger(asked: SearchSettings, typed: str | None) -> str:
    """The budget with what was ``typed``, as text."""
    if typed is None:
        return asked.budget
    before = asked.allowed
    try:
        now = Budget.parse(typed.strip().removeprefix("+"))
    except ValueError as error:
        rule = f"--budget {error}, or + and such an amount"
        raise SettingsError(f"{rule}, but got {typed!r}") from None
    if now.unit != before.unit:
        raise SettingsError(
            f"--budget of this run counts {before.unit}, but got {typed!r}; ask for such as "
            f"+{_share(before)}"
        )
    amount = now.amount + before.amount if typed.strip().startswith("+") else now.amount
    if amount < before.amount:
        raise SettingsError(
            f"--budget of a run can only grow: it is {before}, but got {typed!r}; ask for such as "
            f"+{_share(before)}"
        )
    return Budget(amount, before.unit).typed


def _share(budget: Budget) -> str:
    """Half as much, as an example."""
    return Budget(max(1.0, budget.amount // 2), budget.unit).typed
