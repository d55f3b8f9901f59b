"""How far one driver carries: its CPU and memory, and how long workers wait, up to 64 workers.

The search is the real one: Ray Tune with a process for each worker, Optuna on SQLite, rungs,
records, the reserve of a budget of time. Only the trials are not: each sleeps through the recorded
learning curve that is nearest to its point (``simulation/sleeper.py``), as fast on every machine,
and reports as a trial does that trains. So the cores are the driver's and Ray's, and many workers
fit on few cores; on a cluster they would not share them with the driver, which makes it faster
there. With few workers trials are short, so that there are enough of them; with 64 they take about
20 s. What a load means for other trials is in the events a second: trials and reports.

"Idle" is all time of a worker in which it does not sleep: between the last epoch of a trial and the
first of the next one, and in reports, from which it comes back when the driver has answered. It
counts from when all workers are up to the last trial. Of trials of 30 s it is so many seconds
beside 30. "To suggest" is the CPU time of the sampler, of the last fifth of the suggestions.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import frame
import numpy as np
from simulation.driver import Load, Seen, measured

GOAL = (
    "with up to 64 workers and 1,000 trials workers are idle for less than 3 % of trials of half a "
    "minute"
)
_MOST_IDLE = 0.03
_TRIAL_SECONDS = 30.0
_CURVES = "cifar10"
FULL = (
    Load(1, 20, 0.25, _CURVES),
    Load(2, 40, 0.25, _CURVES),
    Load(4, 80, 0.25, _CURVES),
    Load(16, 120, 0.75, _CURVES),
    Load(64, 1000, 6.0, _CURVES),
)
SHORT = (Load(2, 24, 0.1, _CURVES),)
_FEWEST_FOR_GROWTH = 50

Figures = dict[str, float | int | str | bool]


@dataclass(frozen=True)
class Window:
    """The time in which all workers were busy with trials.

    Attributes:
        began, ended: when the last worker had come up, and the last trial of the load ended.
        first: of the trials that ended, the first one within.
        slept: seconds of sleep within, of all workers.
        reports: epochs that were reported within.
        between, waiting: seconds from trial to trial, and from epoch to epoch within one.
    """

    began: float
    ended: float
    first: int
    slept: float
    reports: int
    between: float
    waiting: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def main() -> None:
    short = frame.asked_short(__doc__)
    figures: Figures = {"curves": f"{_CURVES}.json"}
    idle = []
    with frame.workspace() as folder:
        for load in SHORT if short else FULL:
            seen = measured(load, folder / f"{load.workers}-workers")
            found, seconds = _figures(load, seen)
            name = f"{load.workers} worker{'s' * (load.workers > 1)}, {load.trials} trials"
            figures |= {f"{name}: {key}": value for key, value in found.items()}
            idle.append(seconds / (seconds + _TRIAL_SECONDS))
    frame.finish("scale", figures, GOAL, max(idle) < _MOST_IDLE, short)


def window_of(load: Load, seen: Seen) -> Window:
    """The window of a search.

    Raises:
        RuntimeError: a worker never came up, or all trials had ended by then.
    """
    if len(seen.slept) < load.workers:
        raise RuntimeError(f"only {len(seen.slept)} of {load.workers} workers came up")
    began = max(sleeps[0][1] for sleeps in seen.slept)
    ended = seen.ended[load.trials - 1][0]
    within = [at for at, (moment, *_) in enumerate(seen.ended[: load.trials]) if moment > began]
    if len(within) < 2:
        raise RuntimeError("the trials had ended before the last worker was up")
    slept = between = waiting = 0.0
    reports = 0
    for sleeps in seen.slept:
        for (trial, start, end), (following, after, _) in itertools.pairwise(sleeps):
            if start < began or after > ended:
                continue
            slept += end - start
            reports += 1
            if trial == following:
                waiting += after - end
            else:
                between += after - end
    return Window(began, ended, within[0], slept, reports, between, waiting)


def _figures(load: Load, seen: Seen) -> tuple[Figures, float]:
    """The figures of one load, and the seconds that a worker is idle for each trial."""
    window = window_of(load, seen)
    during = seen.ended[window.first : load.trials]
    count = len(during)
    idle = (window.between + window.waiting) / count
    cpu = during[-1][1] - during[0][1]
    asked = [1000 * seconds for _, seconds in seen.asked[-max(1, len(seen.asked) // 5) :]]
    figures: Figures = {
        "seconds of sleep a trial": round(window.slept / count, 2),
        "trials an hour": round(3600 * count / window.seconds),
        "of the ideal": round(window.slept / window.seconds / load.workers, 3),
        "idle share": round(idle / (idle + window.slept / count), 4),
        "idle, seconds a trial": round(idle, 3),
        "of that: between trials": round(window.between / count, 3),
        "of that: in reports": round(window.waiting / count, 3),
        "idle share of trials of 30 s": round(idle / (idle + _TRIAL_SECONDS), 4),
        "reports a second": round(window.reports / window.seconds, 2),
        "driver, CPU seconds a trial": round(cpu / (count - 1), 3),
        "driver, CPU ms a report, all included": round(1000 * cpu / window.reports, 1),
        "driver, share of a core": round(cpu / (during[-1][0] - during[0][0]), 3),
        "Ray's own processes, CPU seconds in all": round(seen.ray, 1),
        "driver, most MB": round(max(held for *_, held in seen.ended) / 1e6),
        "to suggest, CPU ms, mean": round(float(np.mean(asked)), 1),
        "to suggest, CPU ms, 95th percentile": round(float(np.percentile(asked, 95)), 1),
        "study.db, MB": round(seen.study / 1e6, 2),
    }
    if count >= _FEWEST_FOR_GROWTH:
        held = [bytes_held / 1e6 for *_, bytes_held in during]
        grown = float(np.polyfit(np.arange(count), held, 1)[0])
        figures["driver, MB more for 100 trials"] = round(100 * grown, 2)
    return figures, idle


if __name__ == "__main__":
    main()
