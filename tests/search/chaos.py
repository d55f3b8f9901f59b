"""A small real search that is killed at random instants, and goes on each time.

    python -m tests.search.chaos --kills 100 --seed 7

A session is a process of its own. At a random instant of it its driver, one of its workers, or
both are killed; a session that has lost a worker goes on. Whatever the instant, every file must be
readable, and the next session goes on. A run that comes to its end is given a larger budget, so
that the end of a search (retraining, test, export, report) is killed too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from automl_img.errors import RunError
from automl_img.runs import RAY, Run
from automl_img.search.earlier import earlier_of
from automl_img.search.reopen import check_unfinished, settings_of
from automl_img.trials import TrialRecord
from tests.pictures import class_folders

_BEGIN = """
import sys
from pathlib import Path
from tests.search.searches import small_search
small_search(Path(sys.argv[1]), Path(sys.argv[2]), budget=6, max_epochs=5, workers=2, name="run")
"""
_GO_ON = """
import sys
from automl_img import resume
resume("run", out=sys.argv[2], budget=sys.argv[3] if len(sys.argv) > 3 else None)
"""
_VICTIMS = ("driver", "worker", "both")
# Seconds, of a session: it takes a third of them to start.
_LONGEST = 20.0
_MORE = "+3"
# For what Ray has started to end, once its driver is gone: two agents of its own look for the
# process that is gone too for a minute.
_TO_END = 120.0


@dataclass
class Chaos:
    """A search under fire.

    Attributes:
        kills: how many there were, by (victim, what the run was at).
        sessions: how many began.
        lost, twice: trials that had ended and are gone or changed, and those that were handed out
            after they had ended.
        unreadable: files that could not be read at some instant.
        left: processes that outlived their driver by two minutes.
    """

    folder: Path
    seed: int
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    sessions: int = 0
    lost: list[int] = field(default_factory=list)
    twice: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    _ended: dict[int, TrialRecord] = field(default_factory=dict)
    _starts: int = 0
    _orphans: list[psutil.Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rng = random.Random(self.seed)
        self._photos = class_folders(self.folder / "photos", per_class=40)
        self.run = Run(self.folder / "runs" / "run")

    def strike(self, kills: int) -> None:
        """Kill so often, and let the last session come to its end."""
        while sum(self.kills.values()) < kills:
            self._session(kills)
        with self._started() as driver:
            self._check(driver.wait())
        self._look()
        _, alive = psutil.wait_procs(self._orphans, timeout=_TO_END)
        self.left += map(_name, alive)

    def _session(self, kills: int) -> None:
        """One session, until it is killed or comes to its end."""
        with self._started() as driver:
            while sum(self.kills.values()) < kills:
                with suppress(subprocess.TimeoutExpired):
                    code = driver.wait(self._rng.uniform(0, _LONGEST))
                    self._check(code)
                    break
                victim = self._rng.choice(_VICTIMS)
                if self._kill(driver, victim):
                    self.kills[victim, self._at()] += 1
                if victim != "worker":
                    break
        self._look()

    def _check(self, code: int) -> None:
        """
        Raises:
            AssertionError: a session has failed; with the last that it said.
        """
        said = (self.folder / "log.txt").read_text(errors="replace")[-4000:]
        assert code == 0, f"a session failed; seed {self.seed}, after {self.kills}\n{said}"

    def _started(self) -> subprocess.Popen[bytes]:
        begun = (self.run.path / "run.json").exists()
        more = begun and self._is_over()
        code = _GO_ON if begun else _BEGIN
        words = [str(self._photos), str(self.folder / "runs"), *([_MORE] if more else [])]
        self.sessions += 1
        environment = {**os.environ, "AUTOML_IMG_CACHE": str(self.folder / "cache")}
        log = (self.folder / "log.txt").open("ab")
        with closing(log):
            return subprocess.Popen(
                [sys.executable, "-c", code, *words], stdout=log, stderr=log, env=environment
            )

    def _is_over(self) -> bool:
        """Whether it has come to its end, killed since or not."""
        try:
            check_unfinished(self.run, settings_of(self.run, None, None))
        except RunError:
            return True
        return False

    def _kill(self, driver: subprocess.Popen[bytes], victim: str) -> bool:
        """Whether there was what was to be killed."""
        below = psutil.Process(driver.pid).children(recursive=True)
        workers = [each for each in below if _name(each).startswith("ray::ImplicitFunc")]
        if victim == "worker" and not workers:
            return False
        if victim != "driver" and workers:
            with suppress(psutil.Error):
                self._rng.choice(workers).send_signal(signal.SIGKILL)
        if victim != "worker":
            driver.kill()
            driver.wait()
            self._orphans += below
        return True

    def _at(self) -> str:
        """What the run is at, told from its files."""
        path = self.run.path
        if not path.exists():
            return "start"
        names = {"report": "model.keras", "test": "winner.json", "retraining": "winner"}
        session = self.run.info["sessions"][-1][0] if self.run.info["sessions"] else 0.0
        for name, file in names.items():
            if (path / file).exists() and (path / file).stat().st_mtime > session:
                return name
        running = {each.number for each in self.run.starts()} - {
            t.number for t in self.run.trials()
        }
        return "trials" if running else "start"

    def _look(self) -> None:
        """Read every file, and compare with what was there before."""
        if not (self.run.path / "run.json").exists():
            return
        for path in self.run.path.rglob("*"):
            if RAY in path.relative_to(self.run.path).parts:
                # Ray's own, which nobody reads and the next session deletes.
                continue
            try:
                _read(path)
            except (OSError, ValueError, zipfile.BadZipFile, sqlite3.Error) as error:
                self.unreadable.append(f"{path.name}: {error}")
        records = {record.number: record for record in self.run.trials()}
        going_on = self._going_on()
        self.lost += [
            number for number, record in self._ended.items() if records.get(number) != record
        ]
        starts = self.run.starts()
        self.twice += [each.number for each in starts[self._starts :] if each.number in self._ended]
        self._starts = len(starts)
        self._ended = {n: record for n, record in records.items() if n not in going_on}

    def _going_on(self) -> set[int]:
        """The trials that the next session would go on with; told from a copy, as it writes."""
        with TemporaryDirectory() as folder:
            copy = Path(folder) / "run"
            shutil.copytree(self.run.path, copy, ignore=shutil.ignore_patterns(RAY))
            return {each.suggestion.number for each in earlier_of(Run(copy)).unfinished}


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return str(process.name())
    return ""


def _read(path: Path) -> None:
    if path.name.startswith("."):
        # On its way to its name: nobody reads it.
        return
    match path.suffix:
        case ".json":
            json.loads(path.read_text(encoding="utf-8"))
        case ".jsonl":
            # The last line may be torn; none before it.
            for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                json.loads(line)
        case ".npz" | ".keras":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
        case ".db":
            with closing(sqlite3.connect(path)) as connection:
                [(found,)] = connection.execute("PRAGMA integrity_check").fetchall()
                assert found == "ok", found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with TemporaryDirectory(prefix="automl-img-chaos-") as folder:
        chaos = Chaos(Path(folder), asked.seed)
        began = time.monotonic()
        chaos.strike(asked.kills)
        for (victim, at), count in sorted(chaos.kills.items()):
            print(f"{count:4} x {victim} at {at}")
        print(
            f"{sum(chaos.kills.values())} kills in {chaos.sessions} sessions and "
            f"{time.monotonic() - began:.0f} s: {len(chaos.run.trials())} trials, "
            f"{len(chaos.lost)} lost, {len(chaos.twice)} twice, "
            f"{len(chaos.unreadable)} unreadable, {len(chaos.left)} processes left"
        )
        print("\n".join(chaos.unreadable[:20]))
        sys.exit(bool(chaos.lost or chaos.twice or chaos.unreadable or chaos.left))


if __name__ == "__main__":
    main()
