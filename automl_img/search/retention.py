"""What trials that have ended leave on the disk, and what of it stays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from automl_img.runs import Run
from automl_img.training import checkpoint
from automl_img.trials import TrialRecord, TrialState

# Trials that may keep what they had after their best epoch: predictions for the validation images,
# for the choice of the winner, and weights, for an ensemble or in place of a retraining.
MOST_KEPT = 12
# Trials that ended so may go on in a later session.
_CUT_SHORT = ("budget", "interrupted")


class Retention:
    """Keeps what the best few trials had after their best epoch and the checkpoints of those that
    were cut short, as long as all of it together takes no more than it may."""

    def __init__(self, run: Run, most_bytes: int, going_on: Collection[int] = ()) -> None:
        """
        Args:
            most_bytes: for all of them; the best one, and those that run, keep theirs in any case.
            going_on: numbers of trials of an earlier session that are still to go on.
        """
        self._run = run
        self._most_bytes = most_bytes
        ended = [trial for trial in run.trials() if trial.number not in going_on]
        kept = [trial for trial in ended if self._files(trial)]
        self._cut_short = [trial for trial in kept if trial.stop_reason in _CUT_SHORT]
        self._best = [trial for trial in kept if trial.stop_reason != "budget"]
        self._best.sort(key=_worth, reverse=True)

    def started(self, number: int) -> None:
        """A trial runs: what it has is its own until it ends."""
        self._cut_short = [each for each in self._cut_short if each.number != number]
        self._best = [each for each in self._best if each.number != number]

    def ended(self, record: TrialRecord) -> None:
        """Delete what a trial kept to go on with, unless it was cut short and may; what those have
        of their best epoch that are not among the best few any more; and what is then still too
        much, that of the weakest trials first."""
        self.started(record.number)
        if record.stop_reason in _CUT_SHORT:
            self._cut_short.append(record)
        else:
            checkpoint.remove(self._folder(record))
        # What the end of the time cut short may win with its weights, whatever they are worth.
        if record.stop_reason != "budget":
            self._best.append(record)
            self._best.sort(key=_worth, reverse=True)
            # A finalist is judged by all of its repeats, the poor ones too.
            beaten = [trial for trial in self._best if trial.origin != "repeat"][MOST_KEPT:]
            for trial in beaten:
                checkpoint.remove_best(self._folder(trial))
                self._best.remove(trial)
        self._bound()

    def _bound(self) -> None:
        every = {trial.number: trial for trial in [*self._best, *self._cut_short]}
        weakest = sorted(every.values(), key=_worth)
        while len(weakest) > 1 and self._held(weakest) > self._most_bytes:
            trial = weakest.pop(0)
            checkpoint.remove(self._folder(trial))
            checkpoint.remove_best(self._folder(trial))
            self.started(trial.number)

    def _held(self, trials: Sequence[TrialRecord]) -> int:
        return sum(path.stat().st_size for trial in trials for path in self._files(trial))

    def _files(self, trial: TrialRecord) -> list[Path]:
        names = (checkpoint.FILE, checkpoint.BEST, checkpoint.VALIDATION)
        paths = [self._folder(trial) / name for name in names]
        return [path for path in paths if path.exists()]

    def _folder(self, trial: TrialRecord) -> Path:
        return self._run.trial_folder(trial.number)


def _worth(record: TrialRecord) -> tuple[float, ...]:
    """Of what a trial keeps; last come those that failed, then probes, which saw a part of the
    images."""
    quality = record.best.quality if record.best is not None else (-1.0, 0.0)
    return float(record.state is not TrialState.FAILED), float(record.origin != "probe"), *quality
