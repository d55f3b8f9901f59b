"""A trial on a worker, as the driver sees it, and the record that becomes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from automl_img.search.sampler import Suggestion
from automl_img.trials import EpochResult, TrialRecord, TrialStart, TrialState

_STATES = {
    "finished": TrialState.COMPLETE,
    "early stopping": TrialState.COMPLETE,
    "interrupted": TrialState.PRUNED,
    "budget": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
}


@dataclass
class Running:
    """A trial on a worker, as the driver sees it.

    Attributes:
        shares: of its machine that it has.
        begun: whether it is known to have started.
        out_of_memory: whether the system had killed a process for want of memory when its own died.
    """

    suggestion: Suggestion
    max_epochs: int
    started: float
    epochs: list[EpochResult] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    shares: int = 1
    begun: bool = False
    out_of_memory: bool = False

    @property
    def number(self) -> int:
        return self.suggestion.number

    def take_in(self, message: dict[str, Any]) -> EpochResult | None:
        """Take in a message of its worker.

        Returns:
            Its next epoch, where the message tells one that is not known yet.
        """
        ended, values = message.pop("ended", None), message.pop("result", None)
        self.facts.update({key: value for key, value in message.items() if value is not None})
        if ended is not None:
            self.stop_reason = ended
        new = values is not None and values["epoch"] == len(self.epochs) + 1
        return EpochResult(**values) if new else None

    def tried_again(self) -> None:
        """Forget how it ended."""
        self.stop_reason = None
        self.facts.pop("error", None)

    def _death(self) -> tuple[str, str]:
        """The reason, and a sentence, of a trial whose process died each time."""
        if self.out_of_memory:
            return "out of memory", (
                "the system ended its process, the last time that it was tried, as the machine ran "
                "out of memory; a smaller batch_size or model, or fewer --workers, avoids it"
            )
        return "worker died", (
            "its worker process died each time that it was tried, and not for want of memory, as "
            "far as the system tells"
        )

    @property
    def start(self) -> TrialStart:
        """As ``started.jsonl`` keeps it."""
        own, epochs = self.suggestion, len(self.epochs)
        repeated = own.repeat_of
        return TrialStart(
            own.number, own.params, own.seed, own.origin, repeated, epochs, self.started
        )

    def record(self) -> TrialRecord:
        reason, error = self.stop_reason, self.facts.get("error")
        if reason is None:
            reason, error = self._death()
        state = TrialState.PRUNED if reason.startswith("rung") else TrialState.FAILED
        return TrialRecord(
            number=self.number,
            state=_STATES.get(reason, state),
            stop_reason=reason,
            params=self.suggestion.params,
            seed=self.suggestion.seed,
            started=self.started,
            ended=time.time(),
            epochs=tuple(self.epochs),
            error=error,
            parameters=self.facts.get("parameters"),
            ms_per_image=self.facts.get("ms_per_image"),
            graphs_traced=self.facts.get("graphs_traced"),
            gpu_peak_bytes=self.facts.get("gpu_peak_bytes"),
            origin=self.suggestion.origin,
            repeat_of=self.suggestion.repeat_of,
            memory=self.facts.get("memory"),
            threads=self.facts.get("threads"),
            precision=self.facts.get("precision"),
            serving=self.facts.get("serving"),
        )
