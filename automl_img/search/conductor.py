"""Conducts the trials: hands them out, hears their epochs, decides who stops, keeps the records.

It knows nothing of Ray; ``automl_img.search.engine`` lets Ray Tune ask it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from automl_img.errors import DiskFull
from automl_img.events import EpochEnded, Listener, Notice, TrialEnded, TrialStarted
from automl_img.runs import Run
from automl_img.search.memory import MemoryBounds
from automl_img.search.placement import MOST_WAITING, Placement
from automl_img.search.retention import Retention
from automl_img.search.rungs import Rungs, ladder_of, warmup_of
from automl_img.search.running import Running
from automl_img.search.sampler import Sampler, Suggestion, not_started
from automl_img.search.sizing import Sizing
from automl_img.search.spending import Spending
from automl_img.search.stage import Stage
from automl_img.training import checkpoint
from automl_img.trials import EpochResult, Params, TrialRecord, TrialSpec, reached


class Conductor:
    """Hands out the trials of one stage after the other, and keeps what becomes of them."""

    def __init__(
        self,
        run: Run,
        stages: Sequence[Stage],
        sampler: Sampler,
        rungs: Rungs,
        spending: Spending,
        placement: Placement,
        memory: MemoryBounds,
        retention: Retention,
        graph_of: Callable[[Params], str],
        listener: Listener,
        stopping: Callable[[], bool],
    ) -> None:
        """
        Args:
            stages: at least one; the last one is reached however the search is stopped.
            graph_of: the signature of the graph that a trial needs.
            stopping: whether the user asked to stop: only the last stage is still to come.
        """
        self._run = run
        self._stages = list(stages)
        self._sampler = sampler
        self._rungs = rungs
        self._spending = spending
        self._placement = placement
        self._memory = memory
        self._retention = retention
        self._graph_of = graph_of
        self._listener = listener
        self._stopping = stopping
        self._running: dict[str, Running] = {}
        # Of trials that were cut off with their executor, by their numbers; they wait.
        self._cut_off: dict[int, Running] = {}
        self._sizing = Sizing(run, memory)
        self._noted: set[str] = set()

    @property
    def stage(self) -> Stage:
        """The present one."""
        return self._stages[0]

    @property
    def alone(self) -> bool:
        """Whether what comes next wants the machine for itself."""
        self._move_on()
        return self.stage.alone

    @property
    def over(self) -> bool:
        """Whether no trial starts any more."""
        self._move_on()
        last = len(self._stages) == 1
        return last and self.stage.over and not self._placement.waiting and not self._running

    def next(self, trial_id: str, most_shares: int = 1) -> TrialSpec | None:
        """The trial to start under Tune's ``trial_id``, with ``most_shares`` of a machine at most;
        None where none does, or none yet."""
        self._sizing.most_shares = most_shares
        self._move_on()
        self._ask()
        suggestion = self._placement.start(trial_id)
        if suggestion is None:
            return None
        begun, kept = self._cut_off.get(suggestion.number), self.stage.kept
        spec = self._sizing.sized(self.stage.spec(suggestion), suggestion, begun, bounded=kept)
        # Of one that was cut off, what it has reported counts; it goes on from its checkpoint.
        trial = self._cut_off.pop(suggestion.number, None)
        trial = trial or Running(suggestion, spec.max_epochs, time.time())
        trial.shares = spec.shares
        self._placement.sized(trial_id, spec.shares)
        self._running[trial_id] = trial
        if kept:
            self._begin(trial)
        else:
            trial.epochs = checkpoint.saved_results(Path(spec.folder))
        return spec

    def _begin(self, trial: Running) -> None:
        """Note that a trial starts, once."""
        self._retention.started(number := trial.number)
        if trial.begun:
            return
        trial.begun = True
        trial.epochs += checkpoint.saved_results(self._run.trial_folder(number))
        self._run.append_start(trial.start)
        self._spending.started()
        self._listener(TrialStarted(number, trial.suggestion.params))

    def _move_on(self) -> None:
        """Enter the next stage where the present one is over and nothing of it runs."""
        while len(self._stages) > 1:
            if self._ends_early():
                self._give_up_waiting()
            elif not self.stage.over or self._placement.waiting:
                return
            if self._running:
                return
            last = self._stopping() or self.stage.given_up
            self._stages = self._stages[-1:] if last else self._stages[1:]

    def _ask(self) -> None:
        """Ask for the next trial, and for more where they follow from no result anyway."""
        for waiting in self._placement.waiting:
            # What is known of its network may be so since it was asked for.
            if why := self._refusal(waiting):
                self._placement.withdraw(waiting)
                self._refuse(waiting, why)
        while not self.stage.over and not self._ends_early():
            count = len(self._placement.waiting)
            if count and (not self.stage.order_is_free or count >= MOST_WAITING):
                return
            if not self._room_for(count + 1 - len(self._cut_off)):
                return
            suggestion = self.stage.ask()
            if suggestion is None:
                return
            if why := self._refusal(suggestion):
                self._refuse(suggestion, why)
            else:
                self._placement.wait(suggestion, self._graph_of(suggestion.params))

    def _refusal(self, suggestion: Suggestion) -> str | None:
        """Why a trial need not start; None where it may."""
        begun = self._cut_off.get(suggestion.number)
        return self._sizing.refusal(suggestion, begun) if self.stage.kept else None

    def _refuse(self, suggestion: Suggestion, why: str) -> None:
        """Keep that a trial is not trained, or no further; it takes no worker."""
        if (trial := self._cut_off.pop(suggestion.number, None)) is None:
            self._spending.started()
            trial = Running(suggestion, 0, time.time())
        trial.facts |= {"error": why, "memory": self._memory.estimated(suggestion.params)}
        trial.stop_reason = "infeasible"
        self._keep(trial)

    def _room_for(self, waiting: int) -> bool:
        """Whether the budget has trials for as many as would wait."""
        return not self.stage.kept or self._spending.allows(self.stage.part, trials=waiting)

    def _ends_early(self) -> bool:
        """Whether the present stage, not the last one, hands out nothing more."""
        if len(self._stages) == 1:
            return False
        return self._stopping() or self.stage.given_up or self._spending.used_up(self.stage.part)

    def _give_up_waiting(self) -> None:
        """Let the study know of trials that were asked for and will not start."""
        for suggestion in self._placement.clear():
            if cut_off := self._cut_off.pop(suggestion.number, None):
                used_up = self._spending.used_up(self.stage.part)
                cut_off.stop_reason = "budget" if used_up else "interrupted"
                self._keep(cut_off)
            else:
                self._sampler.tell(not_started(suggestion))

    def hear(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a report; the same report may come twice, and again after a worker died."""
        trial = self._running.get(trial_id)
        if trial is None or "message" not in result:
            return
        message = json.loads(result["message"])
        if trace := message.pop("trace", None):
            self._run.append_error(trial.number, trace)
        # Once, whoever says it.
        if (notice := message.pop("notice", None)) and notice not in self._noted:
            self._noted.add(notice)
            self._listener(Notice(notice))
        if peak := message.get("gpu_peak_bytes"):
            self._placement.measured(trial_id, peak)
        epoch = trial.take_in(message)
        if trial.stop_reason == DiskFull.reason:
            # It did not fail, and has no record: a later session goes on with it.
            raise DiskFull(f"No space left on device ({message.get('error')})")
        if epoch is not None:
            self._count(trial, epoch)

    def _count(self, trial: Running, epoch: EpochResult) -> None:
        trial.epochs.append(epoch)
        if not self.stage.kept:
            self._listener(EpochEnded(None, epoch))
            return
        self._spending.trained()
        each, threads = trial.facts.get("ms_per_image"), trial.facts.get("threads")
        own = trial.suggestion.params
        self._spending.reserve.heard(trial.number, epoch, each, own, threads)
        self._sampler.report(trial.number, epoch)
        self._listener(EpochEnded(trial.number, epoch))

    def lost(self, trial_id: str, out_of_memory: bool) -> None:
        """The worker of a trial is gone, perhaps as the system had no memory left for it; Tune goes
        on with the trial in another."""
        if trial_id in self._running:
            self._running[trial_id].out_of_memory = out_of_memory
            self._placement.replaced(trial_id)

    def stops(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Hear a report, and say whether the trial must stop after it."""
        self.hear(trial_id, result)
        trial = self._running.get(trial_id)
        if trial is None or trial.stop_reason or not trial.epochs or len(self._stages) == 1:
            return False
        if self.stage.compared and not self._goes_on(trial):
            trial.stop_reason = f"rung {trial.epochs[-1].epoch}"
        elif trial.epochs[-1].epoch >= trial.max_epochs:
            # It has come to its end, and will say so.
            return False
        elif self._spending.used_up(self.stage.part):
            trial.stop_reason = "budget"
        elif self._stopping():
            trial.stop_reason = "interrupted"
        return trial.stop_reason is not None

    def _goes_on(self, trial: Running) -> bool:
        """Whether a trial may pass its rung; a probe, on fewer images, is not compared."""
        if trial.suggestion.origin == "probe":
            return True
        params, epoch = trial.suggestion.params, trial.epochs[-1].epoch
        best = reached(trial.epochs)
        serving = trial.facts.get("serving")
        ladder, warmup = ladder_of(params), warmup_of(params)
        return self._rungs.goes_on(trial.number, epoch, best, ladder, warmup, serving)

    def take_back(self) -> None:
        """Let trials that were cut off with their executor wait for the next; others have ended."""
        for trial_id, trial in list(self._running.items()):
            if trial.stop_reason is not None:
                self.end(trial_id)
                continue
            del self._running[trial_id]
            self._placement.end(trial_id)
            self._wait(trial)

    def end(self, trial_id: str) -> None:
        """Keep the record of a trial that is over, in the study and in ``trials.jsonl``."""
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
        self._placement.end(trial_id)
        if self._sizing.goes_elsewhere(trial):
            trial.tried_again()
            self._wait(trial)
        else:
            self._keep(trial)

    def _wait(self, trial: Running) -> None:
        """Let a trial wait that has started before."""
        self._cut_off[trial.number] = trial
        self._placement.wait(trial.suggestion, self._graph_of(trial.suggestion.params))

    def _keep(self, trial: Running) -> None:
        record = trial.record()
        try:
            if self.stage.kept:
                self._keep_trial(record, trial.shares)
        finally:
            # Whatever cannot be written: a stage must not wait for it.
            self.stage.ended(record)

    def _keep_trial(self, record: TrialRecord, shares: int) -> None:
        self._spending.reserve.ended(record)
        if record.stop_reason == "infeasible":
            self._spending.infeasible()
        self._run.append_trial(record)
        self._retention.ended(record)
        self._memory.ended(record, shares)
        self._sampler.tell(record)
        self._listener(TrialEnded(record))
