"""What runs in a worker process: one trial after the other, each in the same warm process."""

from __future__ import annotations

import dataclasses
import json
import os
import traceback
from typing import Any

from automl_img.errors import TrialFailed
from automl_img.search.hardware import Resources
from automl_img.trials import TrialSpec


def environment(resources: Resources) -> dict[str, str]:
    """Environment of a worker: read once, when TensorFlow is imported.

    Ray sets OMP_NUM_THREADS, which TensorFlow ignores: without these a worker takes every core. A
    worker that was given no GPU would still see them all.
    """
    values = {
        "TF_NUM_INTRAOP_THREADS": str(resources.threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        # A function that takes long to unwind makes reuse fail and the search hang.
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
    }
    return values if resources.gpus_per_trial else {**values, "CUDA_VISIBLE_DEVICES": "-1"}


def run_trial(config: dict[str, Any]) -> None:
    """Train the trial in ``config["spec"]`` and report each epoch, then how it ended, to Ray Tune.

    A failure is reported and not raised: Tune would replace the process, imports and all.
    """
    try:
        _train(TrialSpec(**config["spec"]))
    except Exception as error:
        _report_failure(error)
    # Only here, where nothing holds the model any more, can its memory be given back.
    _release_memory()


def _train(spec: TrialSpec) -> None:
    from automl_img.training.trainer import Trainer

    trainer = Trainer(spec)
    facts: dict[str, float | None] = {"parameters": trainer.parameters}
    epoch = 0
    for result in trainer.epochs():
        epoch = result.epoch
        facts["ms_per_image"] = trainer.ms_per_image
        _report(epoch, result=dataclasses.asdict(result), **facts)
    _report(epoch, ended=trainer.stop_reason, **facts)


def _report_failure(error: Exception) -> None:
    trace = "".join(traceback.format_exception(error))
    try:
        from automl_img.training.guards import as_trial_failure
    except Exception:
        # Keras itself cannot be imported.
        _report(0, ended="error", error=f"{type(error).__name__}: {error}", trace=trace)
        return
    failure = as_trial_failure(error)
    unforeseen = trace if type(failure) is TrialFailed else None
    _report(0, ended=failure.reason, error=str(failure), trace=unforeseen)


def _release_memory() -> None:
    try:
        from automl_img.training.guards import release_memory
    except Exception:
        return  # Keras cannot be imported, which was reported.
    release_memory()


def _report(epoch: int, **content: Any) -> None:
    """Send a report as one string: Tune flattens and renames what it finds in a dictionary."""
    from ray import tune

    tune.report({"epoch": epoch, "message": json.dumps(content)})
