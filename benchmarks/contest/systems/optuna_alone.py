"""Optuna without anything around it: its default sampler (TPE) and its default pruner (median), one
process, the same HyperModel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contest.start import command
from contest.task import System, Task
from contest.tracks import find_track


def train(task: Task) -> None:
    """Search until the process is killed."""
    import keras
    import optuna

    from automl_img.search.arm import suggest
    from contest.fitting import KeepBest, Progress, build, fit, load

    track, data = find_track(task.track), load(task)
    space = track.search_space()

    class Reports(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self, trial: Any) -> None:
            super().__init__()
            self._trial = trial

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self._trial.report(float((logs or {}).get("val_accuracy", 0.0)), epoch)
            if self._trial.should_prune():
                raise optuna.TrialPruned

    def objective(trial: Any) -> float:
        keras.backend.clear_session()
        params = suggest(space, trial)
        kept = KeepBest(Path(task.folder) / "best", params)
        callbacks = [Progress(task), kept, Reports(trial)]
        return fit(build(task, params), params, task, data, track.max_epochs, callbacks)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=task.seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.optimize(objective)


def predict(task: Task) -> None:
    from contest import fitting

    fitting.predict(task)


SYSTEMS = (
    System(
        "Optuna, median pruner",
        start=lambda task: command("optuna_alone", "train", task),
        predict=lambda task: command("optuna_alone", "predict", task),
    ),
)
