"""Where trials run: Ray Tune, as an executor that remembers nothing.

The study and ``trials.jsonl`` hold the search; a new Tuner on the same study goes on with it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from automl_img.errors import SettingsError
from automl_img.events import EpochEnded, Listener, Notice, TrialEnded, TrialStarted
from automl_img.runs import Run, remove_folders
from automl_img.search.hardware import Resources
from automl_img.search.rungs import Rungs
from automl_img.search.sampler import Sampler, Suggestion
from automl_img.search.worker import environment, run_trial
from automl_img.training import checkpoint
from automl_img.trials import EpochResult, Params, TrialRecord, TrialSpec, TrialState

_OBJECT_STORE_BYTES = 150_000_000
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
            error = "the worker process died twice, as it does where the machine runs out of memory"
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
        spec_of: Callable[[Suggestion], TrialSpec],
        budget: int,
        listener: Listener,
        stopping: Callable[[], bool],
    ) -> None:
        """
        Args:
            spec_of: makes what a worker needs out of a suggestion.
            budget: trials to start.
            stopping: whether the user asked to stop: no trial starts, running ones end.
        """
        self._run = run
        self._sampler = sampler
        self._rungs = rungs
        self._spec_of = spec_of
        self._left = budget
        self._listener = listener
        self._stopping = stopping
        self._running: dict[str, _Running] = {}

    def next(self, trial_id: str) -> TrialSpec | None:
        """The trial to start under Tune's ``trial_id``; None when none is to start any more."""
        if self._stopping() or self._left <= 0:
            return None
        suggestion = self._sampler.ask()
        if suggestion is None:
            self._left = 0
            self._listener(Notice("every point of this space was tried; the search ends here"))
            return None
        self._left -= 1
        number, params = suggestion.number, suggestion.params
        self._running[trial_id] = _Running(number, params, suggestion.seed, time.time())
        self._listener(TrialStarted(number, params))
        return self._spec_of(suggestion)

    def hear(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take in a report; the same report may come twice, and again after a worker died."""
        trial = self._running.get(trial_id)
        if trial is None or "message" not in result:
            return
        message = json.loads(result["message"])
        ended = message.pop("ended", None)
        self._keep_trace(trial.number, message.pop("trace", None))
        values = message.pop("result", None)
        trial.facts.update({key: value for key, value in message.items() if value is not None})
        if ended is not None:
            trial.stop_reason = ended
        if values is not None and values["epoch"] == len(trial.epochs) + 1:
            epoch = EpochResult(**values)
            trial.epochs.append(epoch)
            self._sampler.report(trial.number, epoch)
            self._listener(EpochEnded(trial.number, epoch))

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

    def end(self, trial_id: str) -> None:
        """Keep the record of a trial that is over, in the study and in ``trials.jsonl``."""
        trial = self._running.pop(trial_id, None)
        if trial is None:
            return
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


class _Searcher(Searcher):  # type: ignore[misc]
    """Lets Ray Tune ask the conductor."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__(metric="epoch", mode="max")
        self._conductor = conductor

    def suggest(self, trial_id: str) -> Any:
        spec = self._conductor.next(trial_id)
        return Searcher.FINISHED if spec is None else {"spec": vars(spec)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._conductor.hear(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        # The result at which a trial is stopped comes here and nowhere else.
        self._conductor.hear(trial_id, result or {})
        self._conductor.end(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a new Tuner is started on the study instead."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Lets Ray Tune hear from the conductor which trial to stop; starts them in order."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = self.STOP if self._conductor.stops(trial.trial_id, result) else self.CONTINUE
        return str(decision)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles schedulers into its snapshots; nothing of a search is restored from those.
        return {}


def run_trials(conductor: Conductor, run: Run, resources: Resources, listener: Listener) -> None:
    """Run trials until the conductor has none left; their records are on disk when this returns."""
    storage = run.path / "ray"
    tuner = tune.Tuner(
        tune.with_resources(run_trial, {"cpu": resources.threads, "gpu": resources.gpus_per_trial}),
        tune_config=tune.TuneConfig(
            search_alg=_Searcher(conductor),
            scheduler=_Scheduler(conductor),
            num_samples=-1,
            max_concurrent_trials=resources.workers,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=f"{time.time_ns()}",
            storage_path=str(storage),
            failure_config=tune.FailureConfig(max_failures=1),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    except Exception as error:
        # Tune gives the traceback as its message; what happened is in the last line.
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        listener(Notice(f"Ray Tune ended early ({last}); going on with the trials that are done"))
        conductor.end_all()
    finally:
        remove_folders([storage])


def _folder_name(trial: Any) -> str:
    """Never by parameters: they hold what users typed, and names of classes."""
    return str(trial.trial_id)


@contextmanager
def local_ray(resources: Resources) -> Iterator[None]:
    """A Ray of our own on this machine, quiet and closed to the network, ended with the block."""
    if ray.is_initialized():
        raise SettingsError("Ray runs in this process already; call ray.shutdown() before a search")
    os.environ.update(_DRIVER_ENVIRONMENT)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray.init(
        # Without this Ray attaches to whatever cluster it finds.
        address="local",
        num_cpus=resources.threads * resources.workers,
        num_gpus=resources.gpus or None,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level=logging.CRITICAL,
        log_to_driver=False,
        runtime_env={"env_vars": environment(resources)},
    )
    try:
        yield
    finally:
        ray.shutdown()


_DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Only the older output obeys verbose=0.
    "RAY_AIR_NEW_OUTPUT": "0",
    # The monitor ends the whole search where one worker is large.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}
