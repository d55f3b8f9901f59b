"""Ray Tune as its own examples have it: a function trainable, OptunaSearch, ASHAScheduler, its
checkpoints. One CPU a trial, which is Ray's default, so that every core has a trial."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from contest.start import command
from contest.task import System, Task
from contest.tracks import find_track


def train(task: Task) -> None:
    """Search until the process is killed."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from automl_img.search.hardware import core_count

    track = find_track(task.track)
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    metric: dict[str, Any] = {"metric": "val_accuracy", "mode": "max"}
    # A closure could not be pickled into Tune's snapshots.
    space = functools.partial(define, track=task.track)
    tune.Tuner(
        functools.partial(trainable, path=str(task.file)),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(space, seed=task.seed, **metric),
            scheduler=ASHAScheduler(max_t=track.max_epochs),
            num_samples=-1,
            # Else one trial is suggested ahead, before the results that it could follow.
            max_concurrent_trials=core_count(),
            **metric,
        ),
        run_config=tune.RunConfig(
            storage_path=str(Path(task.folder) / "ray"),
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=1,
                checkpoint_score_attribute="val_accuracy",
                checkpoint_score_order="max",
            ),
            verbose=0,
        ),
    ).fit()


def define(trial: Any, track: str) -> dict[str, Any]:
    """The point that ``trial`` suggests; what is fixed is in it too."""
    from automl_img.search.arm import suggest

    return dict(suggest(find_track(track).search_space(), trial))


def trainable(config: dict[str, Any], path: str) -> None:
    """Train one point, with a report and a checkpoint after each epoch that was better."""
    import keras
    from ray import tune

    from contest.fitting import KeepBest, Progress, build, fit, load

    task = Task.read(path)

    class Reports(keras.callbacks.Callback):  # type: ignore[misc]
        best = -1.0

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            value = float((logs or {}).get("val_accuracy", 0.0))
            if value <= self.best:
                tune.report({"val_accuracy": value})
                return
            self.best = value
            with tempfile.TemporaryDirectory() as folder:
                KeepBest(Path(folder), config).keep(self.model, value)
                tune.report(
                    {"val_accuracy": value}, checkpoint=tune.Checkpoint.from_directory(folder)
                )

    # Which epochs each trial runs is Tune's to decide, by what is reported.
    callbacks = [Progress(task), Reports()]
    epochs = find_track(task.track).max_epochs
    fit(build(task, config), config, task, load(task), epochs, callbacks)


def predict(task: Task) -> None:
    from contest import fitting

    fitting.predict(task)


SYSTEMS = (
    System(
        "Ray Tune OptunaSearch + ASHA",
        start=lambda task: command("ray_tune", "train", task),
        predict=lambda task: command("ray_tune", "predict", task),
    ),
)
