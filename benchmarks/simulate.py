"""Which way of searching loses least: simulated searches over recorded and made-up learning curves.

The rungs, the race and the samplers are the project's own; only the clock and the trials are not
real. Recorded curves come from `benchmarks/collect.py`, made-up ones from
`simulation/synthetic.py`. A table shows regret: how many points of accuracy the model that looks
best on the validation images lies below the best that is known to be possible, as a mean over tasks
and seeds, when so many epochs or so much time was spent, in full trainings, or when so many trials
had ended. In brackets the 95 % bootstrap interval of the difference to the first row, on the same
tasks and seeds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context

import frame
import numpy as np
from simulation.events import run
from simulation.stopping import Ending, ending, summary
from simulation.strategies import Strategy
from simulation.synthetic import Synthetic
from simulation.tasks import Recorded, Task

GOAL = (
    "after the epochs of 10 full trainings what we ship has less regret than random search "
    "without rungs, on recorded and on made-up curves, and the interval is below 0"
)
CURVES = frame.FOLDER / "curves"
# The name of a task, how it is searched, and the seed.
Job = tuple[str, Strategy, int]
WORKERS = 2
_SEEDS = 20
_MADE_UP = 30
_RESAMPLES = 2000
# In full trainings, of searches that end when they are stale.
_BUDGETS = (10, 20, 50)
_NO_RUNGS = Strategy(stopping=False)
SHIPPED = Strategy("tpe", start=True, race="shipped")


@dataclass(frozen=True)
class Limit:
    """Where regret is read: ``amount`` trials, or so many full trainings of epochs or time."""

    unit: str
    amount: int

    def __str__(self) -> str:
        words = {"epochs": "{} trainings", "seconds": "time of {}", "trials": "{} trials"}
        return words[self.unit].format(self.amount)


LIMITS = (
    Limit("epochs", 3),
    Limit("epochs", 10),
    Limit("epochs", 20),
    Limit("seconds", 2),
    Limit("seconds", 5),
    Limit("trials", 20),
    Limit("trials", 50),
)
_IN_TRIALS = (*LIMITS[5:], LIMITS[1], LIMITS[4])


@dataclass(frozen=True)
class Table:
    """Strategies that differ in one thing; the first is what the others are compared with.

    Attributes:
        sets: of tasks: "recorded" is every file, "mixed" those with several families.
    """

    title: str
    rows: Mapping[str, Strategy]
    sets: tuple[str, ...] = ("recorded", "made up")
    limits: tuple[Limit, ...] = LIMITS[:5]


TABLES = (
    Table(
        "Ladders and promotion",
        {
            "ladder a kind": Strategy(),
            "no rungs": _NO_RUNGS,
            "one ladder": Strategy(ladders="one"),
            "ladder a kind and backbone": Strategy(ladders="backbone"),
            "one ladder, promotion": Strategy(ladders="one", promotion=True),
            "ladder a kind, promotion": Strategy(promotion=True),
        },
    ),
    Table(
        "Grace",
        {
            "a ninth": Strategy(),
            **{f"{grace} epochs": Strategy(grace=grace) for grace in (1, 2, 4, 6, 9)},
            "1 epoch, promotion": Strategy(grace=1, promotion=True),
            "2 epochs, promotion": Strategy(grace=2, promotion=True),
        },
    ),
    Table(
        "Samplers and racing",
        {
            "random": Strategy("random"),
            "TPE": Strategy("tpe"),
            "random, equal tries": Strategy("random", race="equal"),
            "TPE, equal tries": Strategy("tpe", race="equal"),
            "random, race by test": Strategy("random", race="test"),
            "TPE, race by test": Strategy("tpe", race="test"),
            "TPE, race by test of whole trials": Strategy("tpe", race="test of whole"),
            "TPE, one study, families in turn at first": Strategy("tpe", race="in turn"),
            "random, worst dropped every 20": Strategy("random", race="every 20"),
            "TPE, worst dropped every 20": Strategy("tpe", race="every 20"),
        },
        sets=("mixed", "made up"),
        limits=_IN_TRIALS,
    ),
    Table(
        "Start set",
        {
            "random": Strategy("random"),
            "TPE": Strategy("tpe"),
            "start set, random": Strategy("random", start=True),
            "start set, TPE": Strategy("tpe", start=True),
            "start set, TPE, families in turn at first": Strategy(
                "tpe", start=True, race="in turn"
            ),
            "start set, random, race by test": Strategy("random", start=True, race="test"),
            "start set, TPE, race by test": Strategy("tpe", start=True, race="test"),
        },
        limits=_IN_TRIALS,
    ),
    Table(
        "All together",
        {
            "random, no rungs": Strategy("random", stopping=False),
            "as shipped": SHIPPED,
            "as shipped, promotion": replace(SHIPPED, promotion=True),
            "as shipped, one ladder": replace(SHIPPED, ladders="one"),
            "as shipped, equal tries": replace(SHIPPED, race="equal"),
            "as shipped, no race": replace(SHIPPED, race="none"),
        },
    ),
)
_JUDGED = str(LIMITS[1])


def main() -> None:
    short = frame.asked_short(__doc__)
    seeds, made_up = (2, 2) if short else (_SEEDS, _MADE_UP)
    tables = [TABLES[0], TABLES[-1]] if short else TABLES
    figures: dict[str, float | int | str | bool] = {"workers": WORKERS, "seeds a file": seeds}
    figures |= {"made-up tasks": made_up}
    judged: list[float] = []
    known: dict[Job, list[float]] = {}
    # Not forked: nothing that a parent has imported may run on in a child.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        every = partial(pool.map, chunksize=4)
        for table in tables:
            for name in table.sets:
                rows = compare(table, units(name, seeds, made_up), known, every)
                print(f"\n{markdown(table, name, rows)}", flush=True)
                for row, cells in rows.items():
                    for limit, cell in cells.items():
                        figures[f"{table.title}, {name}: {row}: {limit}"] = str(cell)
                if table is TABLES[-1]:
                    judged.append(rows["as shipped"][_JUDGED].high)
        for name in ("recorded", "made up"):
            searched = units(name, seeds, made_up)
            for trainings in _BUDGETS:
                found = summary(list(every(partial(_ending_of, trainings), searched)))
                figures |= {f"Stale, {name}: {trainings} trainings: {k}": found[k] for k in found}
    frame.finish("simulate", figures, GOAL, max(judged) < 0, short)


def units(name: str, seeds: int, made_up: int) -> list[tuple[str, int]]:
    """The (task, seed) of a set of tasks; a made-up task is searched once, there are many."""
    if name == "made up":
        return [(f"made up {number}", number) for number in range(made_up)]
    files = sorted(path.stem for path in CURVES.glob("*.json"))
    if name == "mixed":
        files = [file for file in files if _is_mixed(file)]
    return [(file, seed) for file in files for seed in range(seeds)]


def _is_mixed(file: str) -> bool:
    kept = json.loads((CURVES / f"{file}.json").read_text(encoding="utf-8"))
    return len({trial["family"] for trial in kept["trials"]}) > 1


@dataclass(frozen=True)
class Cell:
    """Mean regret in points of accuracy; the interval of its difference to the first row."""

    regret: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high == 0:
            return f"{self.regret:.2f}"
        return f"{self.regret:.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def compare(
    table: Table,
    searched: Sequence[tuple[str, int]],
    known: dict[Job, list[float]],
    every: Callable[..., Iterable[list[float]]] = map,
) -> dict[str, dict[str, Cell]]:
    """The cells of a table, by row and by limit.

    Args:
        searched: tasks and seeds.
        known: results of earlier tables; those of this one are added.
        every: ``map``, or what does the same in several processes.
    """
    jobs = [(task, strategy, seed) for strategy in table.rows.values() for task, seed in searched]
    missing = [job for job in dict.fromkeys(jobs) if job not in known]
    known.update(zip(missing, every(_regrets_of, missing), strict=True))
    places = [LIMITS.index(limit) for limit in table.limits]
    all_regrets = np.array([known[job] for job in jobs])[:, places]
    regrets = all_regrets.reshape(len(table.rows), len(searched), len(places))
    files = np.unique([task for task, _ in searched], return_inverse=True)[1]
    alone = len(set(files.tolist())) == len(searched)
    drawn = _resamples(np.zeros_like(files) if alone else files)
    cells: dict[str, dict[str, Cell]] = {}
    for row, own in zip(table.rows, 100 * regrets, strict=True):
        apart = own - 100 * regrets[0]
        spread = np.quantile(apart[drawn].mean(axis=1), [0.025, 0.975], axis=0)
        cells[row] = {
            str(limit): Cell(float(own[:, at].mean()), float(spread[0, at]), float(spread[1, at]))
            for at, limit in enumerate(table.limits)
        }
    return cells


def _resamples(groups: np.ndarray) -> np.ndarray:
    """int64 (resamples, units): units drawn again with replacement, each group of them by itself:
    the files are these and no others, while made-up tasks are drawn from many."""
    rng = np.random.default_rng(0)
    drawn = np.empty((_RESAMPLES, len(groups)), dtype=np.int64)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        drawn[:, own] = rng.choice(own, (_RESAMPLES, len(own)))
    return drawn


def _regrets_of(job: Job) -> list[float]:
    name, strategy, seed = job
    return regrets(_task(name), strategy, seed, LIMITS)


def _ending_of(trainings: int, unit: tuple[str, int]) -> Ending:
    return ending(_task(unit[0]), SHIPPED, unit[1], trainings, WORKERS)


@cache
def _task(name: str) -> Task:
    words = name.rpartition(" ")
    return Synthetic(int(words[2])) if words[0] else Recorded(CURVES / f"{name}.json")


def regrets(task: Task, strategy: Strategy, seed: int, limits: Sequence[Limit]) -> list[float]:
    """What a search lacks to the best of ``task``, in accuracy, at each of ``limits``."""
    units = {"epochs": float(task.max_epochs), "seconds": task.training, "trials": 1.0}
    left = {place: limit.amount * units[limit.unit] for place, limit in enumerate(limits)}
    found = [0.0] * len(limits)
    before = task.chance
    for moment in run(task, strategy, seed, WORKERS):
        for place, amount in list(left.items()):
            if getattr(moment, limits[place].unit) > amount:
                found[place] = task.best - before
                del left[place]
        if not left:
            return found
        before = moment.worth
    raise AssertionError("a simulated search has no end of its own")


def markdown(table: Table, name: str, rows: Mapping[str, Mapping[str, Cell]]) -> str:
    """The table as it stands in the documents."""
    lines = [f"**{table.title}** ({name} curves)", ""]
    lines.append("| | " + " | ".join(map(str, table.limits)) + " |")
    lines.append("| --- |" + " --- |" * len(table.limits))
    lines += [
        f"| {row} | " + " | ".join(map(str, cells.values())) + " |" for row, cells in rows.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
