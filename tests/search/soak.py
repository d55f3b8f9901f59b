"""A long search of short trials of which a tenth goes wrong; nothing may grow or be left behind.

python -m tests.search.soak --trials 300 --seed 7
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from automl_img.report.card import load_card
from automl_img.report.ledger import ledger
from automl_img.runs import Run
from tests.pictures import class_folders

FAULTS = Path(__file__).parent / "faults"
# Each kind in turn, and how a trial ends of it.
KINDS = {
    "exception": "error",
    "divergence": "diverged",
    "memory": "out of memory",
    "gpu memory": "out of memory",
    "hang": "hang",
    "killed": "worker died",
    "killed once": "finished",
    "segfault": "worker died",
}
_SEARCH = """
import sys
from pathlib import Path
from tests.search.searches import small_search
small_search(
    Path(sys.argv[1]), Path(sys.argv[2]), budget=int(sys.argv[3]), sampler="random", workers=2,
    search={"optimizer.learning_rate": "1e-3..1e-2:log"}, max_epochs=1, trial_timeout="30s",
    name="run",
)
"""
# Of a process that runs trials: a model or two, and what the allocator has not given back.
_MOST_GROWTH = 75_000_000
_MOST_GROWTH_OF_DRIVER = 30_000_000
# Sockets to workers come and go; of one handle a trial there would be 20 more in the short form.
_MOST_HANDLES = 8
_SECONDS = 1.0


@dataclass
class Soak:
    """What was seen while the search ran.

    Attributes:
        driver: (seconds, bytes that it holds, its open files and sockets).
        workers: the same of each process that ran trials, by its id.
        zombies: the most at a time.
        seconds: that it took.
    """

    folder: Path
    trials: int
    seed: int
    driver: list[tuple[float, int, int]] = field(default_factory=list)
    workers: dict[int, list[tuple[float, int, int]]] = field(default_factory=dict)
    zombies: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.run = Run(self.folder / "runs" / "run")
        numbers = range(2, self.trials)
        chosen = sorted(random.Random(self.seed).sample(numbers, max(1, self.trials // 10)))
        kinds = list(KINDS)
        self.faults = {each: kinds[place % len(kinds)] for place, each in enumerate(chosen)}

    def search(self) -> None:
        """Run the search to its end, and look at its processes meanwhile.

        Raises:
            AssertionError: it has failed, or left something behind.
        """
        photos = class_folders(self.folder / "photos", per_class=40)
        path = os.pathsep.join(filter(None, [str(FAULTS), os.environ.get("PYTHONPATH")]))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "AUTOML_IMG_TEST_FAULTS": json.dumps(self.faults),
            "AUTOML_IMG_CACHE": str(self.folder / "cache"),
        }
        command = [sys.executable, "-c", _SEARCH, str(photos), str(self.folder / "runs")]
        # More of the budget than trials of the search are repeats, which have no faults.
        command.append(str(self.trials + 6))
        began = time.monotonic()
        with (self.folder / "log.txt").open("wb") as log:
            driver = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            known: dict[int, psutil.Process] = {}
            while driver.poll() is None:
                self._look(driver.pid, time.monotonic() - began, known)
                with suppress(subprocess.TimeoutExpired):
                    driver.wait(_SECONDS)
        self.seconds = time.monotonic() - began
        said = (self.folder / "log.txt").read_text(errors="replace")[-3000:]
        assert driver.returncode == 0, said
        left = [process for process in known.values() if _lives(process)]
        assert not left, f"processes that outlived the search: {left}"

    def _look(self, pid: int, at: float, known: dict[int, psutil.Process]) -> None:
        with suppress(psutil.Error):
            driver = psutil.Process(pid)
            below = driver.children(recursive=True)
            known.update({process.pid: process for process in below})
            self.driver.append((at, driver.memory_full_info().uss, driver.num_fds()))
            self.zombies = max(self.zombies, sum(map(_is_zombie, below)))
            for process in below:
                with suppress(psutil.Error):
                    if process.name().startswith("ray::ImplicitFunc"):
                        seen = (at, process.memory_full_info().uss, process.num_fds())
                        self.workers.setdefault(process.pid, []).append(seen)

    def problems(self) -> list[str]:
        """What is not as it should be; empty where all is."""
        records = {record.number: record for record in self.run.trials()}
        reasons = {number: record.stop_reason for number, record in records.items()}
        expected = dict.fromkeys(records, "finished")
        expected.update({number: KINDS[kind] for number, kind in self.faults.items()})
        card = load_card(self.run)
        failed = Counter(reason for reason in expected.values() if reason != "finished")
        told = {failure.reason: len(failure.trials) for failure in ledger(card)}
        grown = [self.growth(held) for held in self.worker_memory]
        driver = self.growth(self.driver_memory)
        handles = [self.growth(counts) for counts in self.handles]
        found = {
            f"ended otherwise: {reasons.items() - expected.items()}": reasons != expected,
            f"the report: {len(card.trials)} trials, {told}, {card.notes}": (
                bool(card.notes) or len(card.trials) != len(records) or told != failed
            ),
            f"{len(records)} trials": len(records) < self.trials,
            "no model": not self.run.model.exists(),
            "no worker lived long enough to tell whether it grows": not grown,
            f"memory of workers grew: {grown}": max(grown, default=0.0) > _MOST_GROWTH,
            f"memory of the driver grew: {driver}": driver > _MOST_GROWTH_OF_DRIVER,
            f"handles grew: {handles}": max(handles) > _MOST_HANDLES,
            f"{self.zombies} zombies at a time": self.zombies > 1,
        }
        return [problem for problem, holds in found.items() if holds]

    @property
    def driver_memory(self) -> list[int]:
        return [held for _, held, _ in self.driver]

    @property
    def worker_memory(self) -> list[list[int]]:
        """Of the processes that lived for a while."""
        return [[held for _, held, _ in seen] for seen in self._longest]

    @property
    def handles(self) -> list[list[int]]:
        """Of the driver, and of the workers that lived for a while."""
        return [[count for _, _, count in seen] for seen in [self.driver, *self._longest]]

    @property
    def _longest(self) -> list[list[tuple[float, int, int]]]:
        return [seen for seen in self.workers.values() if len(seen) >= 16]

    @staticmethod
    def growth(values: list[int]) -> float:
        """From the third quarter of a process's life to its last; before that a worker imports, and
        traces its first graphs."""
        quarter = max(1, len(values) // 4)
        return _middle(values[-quarter:]) - _middle(values[2 * quarter : 3 * quarter])

    def summary(self) -> str:
        """What there is to say, in some lines."""
        trials, kinds = len(self.run.trials()), Counter(self.faults.values())
        handles = self.handles[0]
        grown = [f"{self.growth(held) / 1e6:.0f}" for held in self.worker_memory]
        return "\n".join(
            [
                f"{trials} trials in {self.seconds:.0f} s, {len(self.faults)} with a fault: "
                f"{', '.join(f'{count} {kind}' for kind, count in kinds.items())}",
                f"driver: {self.driver_memory[-1] / 1e6:.0f} MB at the end, grew by "
                f"{self.growth(self.driver_memory) / 1e6:.0f} MB; handles {min(handles)} to "
                f"{max(handles)}, {handles[-1]} at the end",
                f"workers: {len(self.workers)} processes, grew by {', '.join(grown) or '-'} MB",
                f"zombies at a time: {self.zombies}; left behind: 0",
            ]
        )


def _middle(values: list[int]) -> float:
    return float(sorted(values)[len(values) // 2])


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _lives(process: psutil.Process) -> bool:
    # Ray's own end within a second of their driver.
    with suppress(psutil.Error):
        process.wait(10)
    return bool(process.is_running() and not _is_zombie(process))


def main() -> None:
    """Soak as asked on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="automl-img-soak-") as folder:
        soak = Soak(Path(folder), asked.trials, asked.seed)
        soak.search()
        print(soak.summary())
        sys.exit("\n".join(soak.problems()) or 0)


if __name__ == "__main__":
    main()
