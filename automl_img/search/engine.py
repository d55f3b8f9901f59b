"""Where trials run: Ray Tune, as an executor that remembers nothing.

The study and ``trials.jsonl`` hold the search; a new Tuner on the same study goes on with it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from automl_img.errors import SearchError, SettingsError
from automl_img.events import Listener, Notice
from automl_img.files import disk_is_full
from automl_img.runs import RAY, Run, remove_folders
from automl_img.search.conductor import Conductor
from automl_img.search.hardware import Resources
from automl_img.search.worker import environment, run_trial

_OBJECT_STORE_BYTES = 150_000_000
# A trial is tried again so often where its worker died, or was sent away as its process had grown.
_MOST_FAILURES = 2
# How often another Tuner goes on where one has ended early.
_MOST_RESTARTS = 3
# What a worker runs; see ``automl_img.search.worker.run_trial``.
Trainable = Callable[[dict[str, Any]], None]


class _Searcher(Searcher):  # type: ignore[misc]
    """Lets Ray Tune ask the conductor.

    Attributes:
        failure: what went wrong as a trial ended; Tune hears of it as it asks for the next one.
    """

    def __init__(self, conductor: Conductor, alone: bool, threads: int) -> None:
        """
        Args:
            alone: whether trials have the whole machine; what wants another share is left.
            threads: of each.
        """
        super().__init__(metric="epoch", mode="max")
        self._conductor = conductor
        self._alone = alone
        self._threads = threads
        self.failure: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        if self.failure is not None:
            raise self.failure
        if self._conductor.alone is not self._alone:
            return Searcher.FINISHED
        try:
            spec = self._conductor.next(trial_id)
        except SearchError as error:
            # Another Tuner would come to the same end.
            self.failure = error
            return Searcher.FINISHED
        if spec is None:
            # After None Tune asks again with each event; what is running gives some.
            return Searcher.FINISHED if self._conductor.over else None
        return {"spec": vars(spec), "threads": self._threads}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._conductor.hear(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        # The result at which a trial is stopped comes here and nowhere else.
        try:
            self._conductor.hear(trial_id, result or {})
            self._conductor.end(trial_id)
        except Exception as error:
            # Tune would take it for a failure of the trial, and try that again.
            self.failure = error

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

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._conductor.lost(trial.trial_id)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles schedulers into its snapshots; nothing of a search is restored from those.
        return {}


def run_trials(
    conductor: Conductor,
    run: Run,
    resources: Resources,
    listener: Listener,
    trainable: Trainable = run_trial,
) -> None:
    """Run trials until the conductor has none left; their records are on disk when this returns.

    What wants the machine for itself comes last, in a process of its own. Where Ray Tune ends
    early, another Tuner goes on with the same trials, three times at the most.

    Args:
        trainable: another one trains nothing, so that the driver alone is measured.

    Raises:
        SearchError: it ended early once more.
        Exception: a disk is full; see ``automl_img.files.disk_is_full``.
    """
    failures = 0
    while not conductor.over:
        alone = conductor.alone
        error = _run(conductor, run, resources, alone, trainable)
        if error is None and (conductor.over or conductor.alone is not alone):
            continue
        failures += 1
        conductor.take_back()
        why = f"Ray Tune ended early ({error or 'without an error'})"
        if failures > _MOST_RESTARTS:
            raise SearchError(
                f"{why}, {failures} times; what was trained is kept, and automl-img resume "
                f"{run.name} goes on"
            )
        listener(Notice(f"{why}; it is started again"))


def _run(
    conductor: Conductor, run: Run, resources: Resources, alone: bool, trainable: Trainable
) -> str | None:
    """Run trials until none is left that wants such a share of the machine.

    Returns:
        The error of Tune, where it ended with one.

    Raises:
        Exception: a disk is full; see ``automl_img.files.disk_is_full``.
    """
    storage = run.path / RAY
    workers = 1 if alone else resources.workers
    threads = resources.threads * resources.workers if alone else resources.threads
    searcher = _Searcher(conductor, alone, threads)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": threads, "gpu": resources.gpus_per_trial}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=_Scheduler(conductor),
            num_samples=-1,
            max_concurrent_trials=workers,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=f"{time.time_ns()}",
            storage_path=str(storage),
            failure_config=tune.FailureConfig(max_failures=_MOST_FAILURES),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
        if searcher.failure is not None:
            raise searcher.failure
    except SearchError:
        raise
    except Exception as error:
        if disk_is_full(error):
            raise
        # Tune gives the traceback as its message; what happened is in the last line.
        return (str(error).strip().splitlines() or [type(error).__name__])[-1]
    finally:
        remove_folders([storage])
    return None


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
        log_to_driver=bool(os.environ.get("AUTOML_IMG_DEBUG")),
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
