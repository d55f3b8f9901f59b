"""automl-img, by its command as a user would type it.

It decodes its images and keeps its features in a cache of its own, empty at the start. A run may
end 5 % later than its budget, and one that is killed before it ends leaves no model: who has 300 s
asks for 294.
"""

from __future__ import annotations

from pathlib import Path

import frame
import numpy as np

from automl_img.runs import Run
from contest.start import command
from contest.task import PREDICTIONS, Curve, System, Task, rising
from contest.tracks import find_track

NAME = "automl-img"
_OF_BUDGET = 0.98
_RUN = "run"


def search_arguments(task: Task) -> list[str]:
    """What follows ``automl-img`` on the command line."""
    track = find_track(task.track)
    options = [*track.options, "--budget", f"{_OF_BUDGET * task.seconds:g}s"]
    options += ["--max-epochs", str(track.max_epochs), "--image-size", str(track.image_size)]
    options += ["--seed", str(task.seed), "--out", task.folder, "--name", _RUN]
    # All systems train on the same images.
    options += ["--keep-copies", "--objective", "val_accuracy"]
    if task.weights_dir is not None:
        options += ["--weights-dir", task.weights_dir]
    return ["search", task.table, *options]


def curve(task: Task) -> Curve:
    """By ``trials.jsonl``: each epoch as late as it can have ended, from the end of its trial."""
    points: Curve = []
    for record in Run(Path(task.folder) / _RUN).trials():
        moment = record.ended - task.began
        for epoch in reversed(record.epochs):
            if epoch.val_accuracy is not None:
                points.append((moment, epoch.val_accuracy))
            moment -= epoch.seconds
    return rising(points)


def predict(task: Task) -> None:
    """Predict the test images with the exported model.

    Raises:
        FileNotFoundError: the run was killed before it wrote one.
    """
    from automl_img.export.keras import load_keras

    path = Run(Path(task.folder) / _RUN).model
    if not path.exists():
        raise FileNotFoundError("the run left no model.keras")
    exported = load_keras(path)
    labels = [task.class_names.index(name) for name in exported.class_names]
    chosen = exported.predict(np.load(task.test_images)).argmax(axis=1)
    np.save(Path(task.folder) / PREDICTIONS, np.array(labels)[chosen])


SYSTEMS = (
    System(
        NAME,
        start=lambda task: [frame.program("automl-img"), *search_arguments(task)],
        predict=lambda task: command("ours", "predict", task),
        curve=curve,
    ),
)
