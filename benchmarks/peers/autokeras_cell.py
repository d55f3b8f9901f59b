"""AutoKeras in one cell of the comparison; runs in an environment of its own (``autokeras.txt``),
so it imports nothing of this project.

In-memory arrays and a maximum of trials are all that it takes: no budget of time, no file of
weights. It writes its model when its search is over, which a budget does not wait for; so a
callback saves each model that is better than all before it. Labels are one-hot, as it would sort
numbers as texts.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

_MODEL, _BEST = "best.keras", "best.txt"


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the best model of all trials; AutoKeras copies its callbacks, so the disk remembers."""

    def __init__(self, folder: str, began: float) -> None:
        super().__init__()
        self.folder, self.began = folder, began

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        folder, value = Path(self.folder), float((logs or {}).get("val_accuracy", 0.0))
        line = {"seconds": time.time() - self.began, "val_accuracy": value}
        with (folder / "progress.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        best = folder / _BEST
        if not best.exists() or value > float(best.read_text(encoding="utf-8")):
            self.model.save(folder / f"next-{_MODEL}")
            (folder / f"next-{_MODEL}").replace(folder / _MODEL)
            best.write_text(str(value), encoding="utf-8")


def train(task: dict[str, Any], epochs: int) -> None:
    """Search until the process is killed, or AutoKeras has enough."""
    import autokeras

    with np.load(task["arrays"]) as arrays:
        x, y, vx, vy = (arrays[name] for name in ("x", "y", "vx", "vy"))
    classes = np.eye(len(task["class_names"]), dtype="float32")
    search = autokeras.ImageClassifier(
        max_trials=10_000,
        objective="val_accuracy",
        directory=str(Path(task["folder"]) / "autokeras"),
        seed=task["seed"] + 1,
    )
    search.fit(
        x,
        classes[y],
        validation_data=(vx, classes[vy]),
        epochs=epochs,
        callbacks=[KeepBest(task["folder"], task["began"])],
        verbose=0,
    )


def predict(task: dict[str, Any]) -> None:
    """Predict the test images with the best model on the disk."""
    import autokeras

    model = keras.models.load_model(
        Path(task["folder"]) / _MODEL, custom_objects=autokeras.CUSTOM_OBJECTS
    )
    images = np.load(task["test_images"])
    chosen = model.predict(images, batch_size=128, verbose=0).argmax(axis=1)
    np.save(Path(task["folder"]) / "predictions.npy", chosen)


if __name__ == "__main__":
    _task = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    if sys.argv[1] == "train":
        train(_task, int(sys.argv[3]))
    else:
        predict(_task)
