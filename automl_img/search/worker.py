"""What runs in a worker process: one trial after the other, each in the same warm process."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from automl_img.trials import TrialSpec


def environment(threads: int) -> dict[str, str]:
    """Environment of a worker: read once, when TensorFlow is imported.

    Ray sets OMP_NUM_THREADS, which TensorFlow ignores: without these a worker takes every core.
    """
    return {
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        # A function that takes long to unwind makes reuse fail and the search hang.
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
    }


def run_trial(config: dict[str, Any]) -> None:
    """Train the trial in ``config["spec"]`` and report each epoch, then how it ended, to Ray Tune.

    A failure is reported and not raised: Tune would replace the process, imports and all.
    """
    from ray import tune

    from automl_img.training.guards import as_trial_failure, release_memory
    from automl_img.training.trainer import Trainer

    spec = TrialSpec(**config["spec"])
    epoch = 0
    try:
        trainer = Trainer(spec)
        facts: dict[str, float | None] = {"parameters": trainer.parameters}
        for result in trainer.epochs():
            epoch = result.epoch
            facts["ms_per_image"] = trainer.ms_per_image
            tune.report(_message(epoch, result=dataclasses.asdict(result), **facts))
        tune.report(_message(epoch, ended=trainer.stop_reason, **facts))
    except Exception as error:
        failure = as_trial_failure(error)
        tune.report(_message(epoch, ended=failure.reason, error=str(failure)))
    finally:
        release_memory()


def _message(epoch: int, **content: Any) -> dict[str, Any]:
    """A report as one string: Tune flattens, renames and types what it finds in a dictionary."""
    return {"epoch": epoch, "message": json.dumps(content)}
