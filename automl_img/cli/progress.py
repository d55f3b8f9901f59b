"""How a search stands, counted from its events; drawing it is left to others."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from automl_img.events import (
    EpochEnded,
    Event,
    Phase,
    Progress,
    SearchStarted,
    TrialEnded,
    TrialStarted,
)
from automl_img.trials import EpochResult, Params, TrialRecord, TrialState


@dataclass
class SearchProgress:
    """Counts of a search.

    Attributes:
        phase: what is being done.
        items: (done, total) of the phase; None where it does not count.
        complete, stopped, failed: trials that ended so; ``stopped`` by a rung or by the user.
        running: latest result of each running trial, by number; None before its first epoch.
        best: number, parameters and best epoch of the best trial so far.
        epochs_run: of all trials. epochs_saved: those that ended trials did not run.
        graphs_traced: by all ended trials; None while none has told.
        earlier: trials, or epochs where the budget counts them, of earlier sessions.
    """

    clock: Callable[[], float] = time.monotonic
    phase: str = ""
    items: tuple[int, int] | None = None
    search: SearchStarted | None = None
    searching_since: float | None = None
    complete: int = 0
    stopped: int = 0
    failed: int = 0
    running: dict[int, EpochResult | None] = field(default_factory=dict)
    params: dict[int, Params] = field(default_factory=dict)
    best: tuple[int, EpochResult] | None = None
    epochs_run: int = 0
    epochs_saved: int = 0
    graphs_traced: int | None = None
    earlier: int = 0

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def done(self) -> int:
        """Trials that ended, however they ended."""
        return self.complete + self.stopped + self.failed

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self.started

    @property
    def rest(self) -> float | None:
        """An estimate of the seconds until the last trial ends, or with a budget of time until all
        is done; None before one has ended."""
        if not self.done or self.search is None or self.searching_since is None:
            return None
        budget, searching = self.search.budget, self.clock() - self.searching_since
        if budget.seconds is not None:
            return max(budget.seconds - self.elapsed, 0.0)
        done = self.done if budget.trials is not None else max(self.epochs_run, 1)
        # Those of earlier sessions took none of the time since.
        return searching / max(done - self.earlier, 1) * max(budget.amount - done, 0)

    @property
    def share(self) -> float:
        """Of the budget that is spent, 0 to 1."""
        if self.search is None:
            return 0.0
        done = {"trials": self.done, "epochs": self.epochs_run, "seconds": self.elapsed}
        return min(1.0, done[self.search.budget.unit] / self.search.budget.amount)

    def hear(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Phase(text):
                self.phase, self.items = text, None
            case Progress(done, total):
                self.items = done, total
            case SearchStarted():
                self.search = event
                self._count_earlier(event)
            case TrialStarted(number, params):
                self.searching_since = self.searching_since or self.clock()
                self.phase = "searching"
                self.running[number] = None
                self.params[number] = params
            case EpochEnded(int(number), result):
                self._count_epoch(number, result)
            case EpochEnded(None, result):
                self.items = result.epoch, max(result.epoch, (self.items or (0, 0))[1])
            case TrialEnded(record):
                self._count_end(record)

    def _count_earlier(self, event: SearchStarted) -> None:
        """Trials of earlier sessions count, and the time that they took."""
        self.started -= event.seconds
        for record in event.records:
            for result in record.epochs:
                self._count_epoch(record.number, result)
            self.params[record.number] = record.params
            self._count_end(record)
        self.earlier = self.done if event.budget.trials is not None else self.epochs_run

    def _count_epoch(self, number: int, result: EpochResult) -> None:
        self.epochs_run += 1
        self.running[number] = result
        if self.best is None or result.quality > self.best[1].quality:
            self.best = number, result

    def _count_end(self, record: TrialRecord) -> None:
        self.running.pop(record.number, None)
        if record.graphs_traced is not None:
            self.graphs_traced = (self.graphs_traced or 0) + record.graphs_traced
        if record.stop_reason == "infeasible":
            # It was not trained, and is no trial of the budget.
            return
        match record.state:
            case TrialState.COMPLETE:
                self.complete += 1
            case TrialState.PRUNED:
                self.stopped += 1
            case TrialState.FAILED:
                self.failed += 1
        counts = record.state is not TrialState.FAILED and record.origin != "probe"
        if self.search is not None and counts:
            self.epochs_saved += max(self.search.max_epochs - len(record.epochs), 0)


def duration(seconds: float) -> str:
    """``42 s``, ``3:05`` or ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
