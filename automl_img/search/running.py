"""A trial on a worker, as the driver sees it, and the record that becomes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from automl_img.search.sampler import Suggestion
from automl_img.trials import EpochResult, TrialRecord, TrialState

_STATES = {
    "finished": TrialState.COMPLETE,
    "early stopping": TrialState.COMPLETE,
    "interrupted": TrialState.PRUNED,
    "budget": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
}


@dataclass
class Running:
    """A trial on a worker, as the driver sees it."""

    suggestion: Suggestion
    max_epochs: int
    started: float
    epochs: list[EpochResult] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None

    @property
    def number(self) -> int:
        return self.suggestion.number

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
            serving=self.facts.get("serving"),
        )
