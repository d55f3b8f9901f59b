"""KerasTuner's Hyperband, BayesianOptimization and RandomSearch on our own HyperModel.

Their own defaults, factor 3. None of them has a budget of time, so they are asked for more trials
than there is time for. The batch size is part of the space, as KerasTuner leaves it to ``fit``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from contest.start import command
from contest.task import System, Task
from contest.tracks import find_track

if TYPE_CHECKING:
    from contest.fitting import Arrays

HYPERBAND = "KerasTuner Hyperband"
_KINDS = {
    HYPERBAND: "Hyperband",
    "KerasTuner BayesianOptimization": "BayesianOptimization",
    "KerasTuner RandomSearch": "RandomSearch",
}
# More than fit into any budget here.
_ENDLESS = 10_000
_ITERATIONS = 100


def train(task: Task) -> None:
    """Search until the process is killed."""
    import keras_tuner

    from contest.fitting import load

    track, data = find_track(task.track), load(task)
    own: dict[str, Any] = {"max_trials": _ENDLESS}
    if task.system == HYPERBAND:
        own = {"max_epochs": track.max_epochs, "hyperband_iterations": _ITERATIONS}
    tuner = getattr(keras_tuner, _KINDS[task.system])(
        _hypermodel(task, data),
        objective="val_accuracy",
        # To KerasTuner the seed 0 is none.
        seed=task.seed + 1,
        directory=str(Path(task.folder) / "tuner"),
        project_name="search",
        **own,
    )
    tuner.search(
        data["x"],
        data["y"],
        validation_data=(data["vx"], data["vy"]),
        epochs=track.max_epochs,
        verbose=0,
    )


def _hypermodel(task: Task, data: Arrays) -> Any:
    from automl_img.models.hypermodel import ImageClassifier
    from automl_img.models.network import ImageFacts
    from contest.fitting import KeepBest, Progress, fit, weights_of

    space = find_track(task.track).search_space()

    class Classifier(ImageClassifier):
        def fit(self, hp: Any, model: Any, *_: Any, callbacks: Any = (), **keywords: Any) -> Any:
            """The training of one point, as KerasTuner calls it."""
            params = space.nearest(dict(hp.values))
            ours = (Progress(task), KeepBest(Path(task.folder) / "best", params))
            epochs, first = keywords["epochs"], keywords.get("initial_epoch", 0)
            best = fit(model, params, task, data, epochs, [*callbacks, *ours], first)
            return {"val_accuracy": best}

    facts, start = ImageFacts(**task.facts), weights_of(task, space.nearest({}))
    return Classifier(facts, space, weights=start, seed=task.seed)


def predict(task: Task) -> None:
    from contest import fitting

    fitting.predict(task)


SYSTEMS = tuple(
    System(
        name,
        start=lambda task: command("kerastuner", "train", task),
        predict=lambda task: command("kerastuner", "predict", task),
    )
    for name in _KINDS
)
