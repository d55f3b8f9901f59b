"""Run folders that change as those of a search do, and what must hold of a copy."""

from __future__ import annotations

import dataclasses
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from automl_img.files import replacing
from automl_img.mirror.snapshot import WHOSE
from automl_img.runs import Run, create_run
from automl_img.search import final
from automl_img.search.earlier import earlier_of
from automl_img.search.retention import Retention
from automl_img.training import checkpoint
from automl_img.trials import EpochResult, TrialRecord, TrialStart, TrialState

# What a run has from its beginning.
INFO = {"started": 1.0, "settings": {}, "sessions": []}
INPUTS = ("space.yaml", "split.csv", "rows.npz")
_OF_WINNER = ("checkpoint.npz", "classifier.keras")
_PRODUCTS = ("winner.json", "predictions/test.npz", "thumbnails/000001.webp", "test.json")


def new_run(out: Path, name: str = "run", **info: object) -> Run:
    return create_run(out, name, {**INFO, **info})


def write(run: Run, name: str, content: str | bytes) -> None:
    """Write a file as a search does: whole, in place of the old one."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(run.path / name) as temporary:
        temporary.write_bytes(data)


def epochs(count: int) -> tuple[EpochResult, ...]:
    numbers = range(1, count + 1)
    return tuple(EpochResult(n, 1.0, 0.5, 1.0, 0.5 + n / 100, 0.1, 0.01) for n in numbers)


def record(number: int, reason: str = "finished", count: int = 3) -> TrialRecord:
    pruned = reason in ("interrupted", "budget")
    state = TrialState.PRUNED if pruned else TrialState.COMPLETE
    params = {"learning_rate": number / 10}
    return TrialRecord(number, state, reason, params, number, 1.0, 2.0, epochs(count))


def begin(run: Run, number: int) -> None:
    params = {"learning_rate": number / 10}
    run.append_start(TrialStart(number, params, number, "sampler", None, 0, 1.0))


def save_checkpoint(run: Run, number: int, count: int) -> None:
    """As a worker does after an epoch."""
    text = json.dumps([dataclasses.asdict(each) for each in epochs(count)])
    with replacing(run.trial_folder(number) / checkpoint.FILE) as temporary:
        np.savez(temporary, results=np.array(text), trial=number)


def searching(run: Run, seed: int, trials: int = 4) -> Iterator[None]:
    """A search of two sessions, with a step between any two of its writes; the second session goes
    on with what the first one has cut short, and has another winner."""
    rng = random.Random(seed)
    for name in INPUTS:
        write(run, name, name)
        yield
    numbers = iter(range(1000))
    for session, winner in enumerate((0, trials)):
        # Each session begins with a round.
        run.update_info(sessions=[[float(n), None] for n in range(session + 1)], status="begun")
        yield
        run.update_info(status="running")
        yield
        retention = Retention(run, 10**9)
        with closing(sqlite3.connect(run.study)) as study:
            study.execute("PRAGMA journal_mode=WAL")
            study.execute("create table if not exists told (number integer)")
            study.commit()
            for _ in range(trials):
                yield from _trial(run, next(numbers), study, retention, rng)
        yield from _end(run, winner)


def _trial(
    run: Run, number: int, study: sqlite3.Connection, retention: Retention, rng: random.Random
) -> Iterator[None]:
    begin(run, number)
    yield
    saved = rng.randint(0, 3)
    for count in range(1, saved + 1):
        save_checkpoint(run, number, count)
        yield
    reason = "budget" if saved and rng.random() < 0.3 else "finished"
    ended = record(number, reason)
    run.append_trial(ended)
    yield
    retention.ended(ended)
    yield
    study.execute("insert into told values (?)", (number,))
    study.commit()
    yield


def _end(run: Run, winner: int) -> Iterator[None]:
    ended = record(winner)
    # The retraining of another fails first.
    for number in (winner + 1, winner):
        final.prepare(run, record(number))
        yield
        for part in _OF_WINNER:
            write(run, f"winner/{part}", f"of {number}")
            yield
    final.keep_retrained(run, ended, ended)
    yield
    final.forget_older(run)
    yield
    for name in _PRODUCTS:
        write(run, name, json.dumps({"of": winner}))
        yield
    final.keep_done(run, "test")
    yield
    write(run, "model.keras", f"of {winner}")
    yield
    final.keep_done(run, "export")
    yield
    for path in (run.path / "winner").iterdir():
        path.unlink()
        yield
    run.update_info(status="finished")
    yield
    write(run, "report.html", f"of {winner}")
    yield


def check_can_go_on(copy: Path) -> None:
    """What is in ``copy`` could have been left by a kill: nothing refers to what is not there.

    Raises:
        AssertionError: that is not so.
    """
    run = Run(copy)
    info = run.info
    if info["sessions"]:
        assert [(copy / name).read_text() for name in INPUTS] == list(INPUTS)
    starts = {start.number for start in run.starts()}
    records = run.trials()
    assert {each.number for each in records} <= starts
    for path in (copy / "trials").glob(f"*/{checkpoint.FILE}"):
        assert int(path.parent.name) in starts, "a checkpoint would become that of another trial"
        with np.load(path) as arrays:
            assert int(arrays["trial"]) == int(path.parent.name)
    for each in records:
        if each.stop_reason == "budget":
            assert (run.trial_folder(each.number) / checkpoint.FILE).exists(), "it cannot go on"
    if run.study.exists():
        with closing(sqlite3.connect(run.study)) as study:
            assert study.execute("pragma integrity_check").fetchone() == ("ok",)
            tables = study.execute("select count(*) from sqlite_master").fetchone()[0]
            told = study.execute("select number from told").fetchall() if tables else []
        known = {number for (number,) in told}
        assert known <= starts
        # The record of a trial comes first.
        assert len({each.number for each in records} - known) <= 1, "the sampler lacks trials"
    else:
        assert not records
    _check_end(run)
    earlier_of(run)


def _check_end(run: Run) -> None:
    whose = run.read_json(WHOSE)
    for part in _OF_WINNER:
        path = run.path / "winner" / part
        if whose is not None and path.exists():
            assert path.read_text() == f"of {whose['trial']}", "a model of another trial"
    kept = run.read_json("final.json")
    if kept is None:
        assert run.info.get("status") != "finished"
        return
    assert kept["trial"] in {each.number for each in run.trials()}
    for step, names in {"test": _PRODUCTS, "export": ("model.keras",)}.items():
        if step in kept["done"]:
            assert all((run.path / name).exists() for name in names)
    if run.info.get("status") == "finished":
        assert kept["done"] == ["test", "export"]
        assert (run.read_json("test.json") or {})["of"] == kept["trial"]
