"""What earlier sessions of a run have left on the disk, for the next one to go on from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from automl_img.runs import Run
from automl_img.search.sampler import Suggestion
from automl_img.training import checkpoint
from automl_img.trials import EpochResult, TrialRecord, TrialStart, TrialState

# Trials that ended so were cut short by what was outside of them.
_CUT_SHORT = ("interrupted", "budget")
# A trial that was begun so often from the same epoch, and ended its session each time, is not begun
# again.
_MOST_STARTS = 3


@dataclass(frozen=True)
class Unfinished:
    """A trial to go on with.

    Attributes:
        epochs: up to its checkpoint; none where it begins anew.
        began: when it was last handed to a worker, in seconds since 1970.
    """

    suggestion: Suggestion
    epochs: tuple[EpochResult, ...]
    began: float = 0.0

    @property
    def record(self) -> TrialRecord:
        """As if it had ended with its checkpoint."""
        own = self.suggestion
        return TrialRecord(
            own.number,
            TrialState.PRUNED,
            "interrupted",
            own.params,
            own.seed,
            self.began,
            self.began + sum(epoch.seconds for epoch in self.epochs),
            self.epochs,
            origin=own.origin,
            repeat_of=own.repeat_of,
        )


@dataclass(frozen=True)
class Earlier:
    """Where a run stands as a session begins; nothing of it where that is the first one.

    Attributes:
        records: of the trials that have ended for good, in order of their numbers.
        unfinished: those to go on with.
        sessions: when each began and ended, in seconds since 1970.
    """

    records: tuple[TrialRecord, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    sessions: tuple[tuple[float, float], ...] = ()

    @property
    def next_number(self) -> int:
        """Above those of all trials that were started."""
        numbers = [each.number for each in self.records]
        numbers += [each.suggestion.number for each in self.unfinished]
        return max(numbers, default=-1) + 1

    @property
    def seconds(self) -> float:
        """That all sessions took."""
        return self.seconds_until(time.time())

    def seconds_until(self, moment: float) -> float:
        """That the sessions took until ``moment``, in seconds since 1970."""
        return sum(max(0.0, min(ended, moment) - began) for began, ended in self.sessions)


def earlier_of(run: Run) -> Earlier:
    """What the sessions of ``run`` have left; trials that end each session are given up here."""
    # First, as what is written below counts as the last that a killed session wrote.
    sessions, starts = _sessions(run), run.starts()
    records = {record.number: record for record in run.trials()}
    unfinished = []
    for start in {start.number: start for start in starts}.values():
        record = records.get(start.number)
        if record is not None and record.stop_reason not in _CUT_SHORT:
            continue
        epochs = tuple(checkpoint.saved_results(run.trial_folder(start.number)))
        if record is not None and not epochs:
            continue
        own = Suggestion(start.number, start.params, start.seed, start.origin, start.repeat_of)
        kept = Unfinished(own, epochs, start.at)
        if _ends_its_sessions(starts, start, len(epochs)):
            records[start.number] = record or _given_up(run, kept)
            continue
        if record is None and epochs:
            # Where there is no time to go on with it, it may win as it is.
            run.append_trial(kept.record)
        unfinished.append(kept)
        records.pop(start.number, None)
    return Earlier(
        tuple(records[number] for number in sorted(records)),
        tuple(sorted(unfinished, key=lambda each: each.suggestion.number)),
        sessions,
    )


def begin_session(run: Run, earlier: Earlier, began: float, **values: Any) -> None:
    """Note in ``run.json`` when a session has begun, in seconds since 1970, and set other keys."""
    sessions = [*map(list, earlier.sessions), [began, None]]
    run.update_info(sessions=sessions, status="running", finished=None, **values)


def end_session(run: Run, status: str, **values: Any) -> None:
    """Note in ``run.json`` that the session ends, and how."""
    now = time.time()
    sessions = run.info.get("sessions", [])
    if sessions:
        sessions[-1] = [sessions[-1][0], now]
    run.update_info(sessions=sessions, status=status, finished=now, **values)


def _sessions(run: Run) -> tuple[tuple[float, float], ...]:
    """Of one that was killed, the end is when it last wrote something."""
    found = []
    for began, ended in run.info.get("sessions", ()):
        found.append((began, max(began, _last_written(run)) if ended is None else ended))
    return tuple(found)


def _last_written(run: Run) -> float:
    def written(path: Path) -> float:
        return path.stat().st_mtime if path.exists() else 0.0

    # Not the study: whoever looks into it with a dashboard may write.
    names = ("run.json", "started.jsonl", "trials.jsonl")
    paths = [run.path / name for name in names]
    paths += [*(run.path / "trials").glob(f"*/{checkpoint.FILE}")]
    return max(map(written, paths))


def _ends_its_sessions(starts: Sequence[TrialStart], last: TrialStart, epochs: int) -> bool:
    """Whether a trial has come no further each time that it was started."""
    from_there = Counter((start.number, start.epochs) for start in starts)
    return epochs == last.epochs and from_there[last.number, epochs] >= _MOST_STARTS


def _given_up(run: Run, trial: Unfinished) -> TrialRecord:
    """The record of a trial that is not begun again, kept as any other."""
    record = replace(
        trial.record,
        state=TrialState.FAILED,
        stop_reason="error",
        error=f"each of the {_MOST_STARTS} times that it was begun, the search was killed with it",
    )
    run.append_trial(record)
    return record
