"""Conducts the trials: hands them out, hears their epochs, decides who stops, keeps the records.

It knows nothing of Ray; ``automl_img.search.engine`` lets Ray Tune ask it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from automl_img.events import EpochEnded, Listener, Notice, TrialEnded, TrialStarted
from automl_img.runs import Run
from automl_img.search.placement import MOST_WAITING, Placement
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, Suggestion
from automl_img.training import checkpoint
from automl_img.trials import EpochResult, Params, TrialRecord, TrialSpec, TrialState

_STATES = {
    "finished": TrialState.COMPLETE,
    "early stopping": TrialState.COMPLETE,
    "interrupted": TrialState.PRUNED,
}


@dataclass
class _Running:
    """A trial on a worker, as the driver sees it."""

    number: int
    params: Params
    seed: int
    started: float
    epochs: list[EpochResult] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None

    def record(self) -> TrialRecord:
        reason = self.stop_reason or "error"
        state = TrialState.PRUNED if reason.startswith("rung") else TrialState.FAILED
        error = self.facts.get("error")
        if self.stop_reason is None:
            error = (
                "its worker process died each time that it was tried, as it does where the machine "
                "runs out of memory"
            )
        return TrialRecord(
            number=self.number,
            state=_STATES.get(reason, state),
            stop_reason=reason,
            params=self.params,
            seed=self.seed,
            started=self.started,
            ended=time.time(),
            epochs=tuple(self.epochs),
            error=error,
            parameters=self.facts.get("parameters"),
            ms_per_image=self.facts.get("ms_per_image"),
            graphs_traced=self.facts.get("graphs_traced"),
            gpu_peak_bytes=self.facts.get("gpu_peak_bytes"),
        )


class Conductor:
    """Hands out trials, hears their epochs, decides who stops, keeps the records."""

    def __init__(
        self,
        run: Run,
        sampler: Sampler,
        rungs: Rungs,
        placement: Placement,
        spec_of: Callable[[Suggestion], TrialSpec],
        graph_of: Callable[[Params], str],
        budget: int,
        foreseen: int,
        listener: Listener,
        stopping: Callable[[], bool],
    ) -> None:
        """
        Args:
            spec_of: makes what a worker needs out of a suggestion.
            graph_of: the signature of the graph that a trial needs.
            budget: trials to start.
            foreseen: so many trials at the beginning follow from no result, so that they may be
                asked for ahead and start in any order.
            stopping: whether the user asked to stop: no trial starts, running ones end.
        """
        self._run = run
        self._sampler = sampler
        self._rungs = rungs
        self._placement = placement
        self._spec_of = spec_of
        self._graph_of = graph_of
        self._left = budget
        self._foreseen = foreseen
        self._listener = listener
        self._stopping = stopping
        self._running: dict[str, _Running] = {}
        self._noted: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether no trial starts any more."""
        return self._stopping() or (self._left <= 0 and not self._placement.waiting)

    def next(self, trial_id: str) -> TrialSpec | None:
        """The trial to start under Tune's ``trial_id``.

        None where no trial starts any more (``over``), or none before another one ends.
        """
        if self._stopping():
            self._give_up_waiting()
            return None
        self._ask()
        suggestion = self._placement.start(trial_id)
        if suggestion is None:
            return None
        number, params = suggestion.number, suggestion.params
        self._running[trial_id] = _Running(number, params, suggestion.seed, time.time())
        self._listener(TrialStarted(number, params))
        return self._spec_of(suggestion)

    def _ask(self) -> None:
        """Ask for the next trial, and for more where they follow from no result anyway."""
        while self._left > 0:
            waiting = len(self._placement.waiting)
            if waiting and (self._foreseen <= 0 or waiting >= MOST_WAITING):
                return
            suggestion = self._sampler.ask()
            if suggestion is None:
                self._left = 0
                self._note("every point of this space was tried; the search ends here")
                return
            self._left -= 1
            self._foreseen -= 1
            self._placement.wait(suggestion, self._graph_of(suggestion.params))

    def _give_up_waiting(self) -> None:
        """Let the study know of trials that were asked for and will not start."""
        for suggestion in self._placement.clear():
            now = time.time()
            self._sampler.tell(
                TrialRecord(
                    number=suggestion.number,
                    state=TrialState.FAILED,
                    stop_reason="not started",
                    params=suggestion.params,
                    seed=suggestion.seed,
                    started=now,
                    ended=now,
                )
            )

    def _note(self, text: str) -> None:
        """Tell the listener, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._listener(Notice(text))

    def hear(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a report; the same report may come twice, and again after a worker died."""
        trial = self._running.get(trial_id)
        if trial is None or "message" not in result:
            return
        message = json.loads(result["message"])
        ended = message.pop("ended", None)
        self._keep_trace(trial.number, message.pop("trace", None))
        values = message.pop("result", None)
        if notice := message.pop("notice", None):
            self._note(notice)
        if peak := message.get("gpu_peak_bytes"):
            self._placement.measured(trial_id, peak)
        trial.facts.update({key: value for key, value in message.items() if value is not None})
        if ended is not None:
            trial.stop_reason = ended
        if values is not None and values["epoch"] == len(trial.epochs) + 1:
            epoch = EpochResult(**values)
            trial.epochs.append(epoch)
            self._sampler.report(trial.number, epoch)
            self._listener(EpochEnded(trial.number, epoch))

    def lost(self, trial_id: str) -> None:
        """The worker of a trial is gone; Tune goes on with the trial in another."""
        if trial_id in self._running:
            self._placement.replaced(trial_id)

    def _keep_trace(self, number: int, trace: str | None) -> None:
        """What only a developer can read goes to a file of its own."""
        if trace:
            with (self._run.path / "errors.log").open("a", encoding="utf-8") as stream:
                stream.write(f"trial {number}\n{trace}\n")

    def stops(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Hear a report, and say whether the trial must stop after it."""
        self.hear(trial_id, result)
        trial = self._running.get(trial_id)
        if trial is None or trial.stop_reason is not None or not trial.epochs:
            return False
        epoch = trial.epochs[-1].epoch
        best = max(result.val_accuracy or 0.0 for result in trial.epochs)
        if not self._rungs.goes_on(trial.number, epoch, best, _warmup(trial.params)):
            trial.stop_reason = f"rung {epoch}"
        elif self._stopping():
            trial.stop_reason = "interrupted"
        return trial.stop_reason is not None

    def end_all(self) -> None:
        """Keep the records of trials that were cut off with their executor."""
        for trial_id, trial in list(self._running.items()):
            trial.stop_reason = trial.stop_reason or "interrupted"
            self.end(trial_id)
        self._give_up_waiting()

    def end(self, trial_id: str) -> None:
        """Keep the record of a trial that is over, in the study and in ``trials.jsonl``."""
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
        self._placement.end(trial_id)
        # What a stopped trial kept to go on with is as large as its model.
        checkpoint.remove(self._run.trial_folder(trial.number))
        record = trial.record()
        self._run.append_trial(record)
        self._sampler.tell(record)
        self._listener(TrialEnded(record))


def _warmup(params: Params) -> int:
    """Epochs in which a trial cannot be compared yet: a rising rate, or the head alone."""
    names = ("optimizer.warmup_epochs", "fine_tune.head_epochs")
    return sum(int(params.get(name, 0)) for name in names)
