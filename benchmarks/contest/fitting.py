"""What the peers on our own HyperModel share: its training in plain Keras, and the best on disk.

They get all that a sensible user would write around ``model.fit``: the schedule of the rate, early
stopping, an end where the loss is not finite, the head alone for the first epochs where the point
asks for it, and a file of the best weights so far, written as soon as they are better.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from automl_img.files import append_json_line, write_json
from automl_img.models.head import cross_entropy
from automl_img.models.hypermodel import ImageClassifier, bind
from automl_img.models.network import ImageFacts, head_alone
from automl_img.models.optimizer import build_optimizer, learning_rate, start_optimizer
from automl_img.models.weights import find_variant, imagenet
from automl_img.trials import Params
from contest.task import PREDICTIONS, Task
from contest.tracks import find_track

Arrays = dict[str, np.ndarray]
_BEST = "best.json"
_VALIDATION_BATCH = 128  # as in training/trainer.py


def load(task: Task) -> Arrays:
    """The images and labels for training (x, y) and validation (vx, vy)."""
    with np.load(task.arrays) as arrays:
        return {name: arrays[name] for name in ("x", "y", "vx", "vy")}


def weights_of(task: Task, params: Params) -> str | None:
    """The file that a point starts from; None where it starts at random."""
    variant = find_variant(str(params["backbone"]))
    if variant is None or params.get("weights") != "imagenet":
        return None
    return str(imagenet(variant, task.weights_dir))


def build(task: Task, params: Params) -> Any:
    """The compiled model of ``params``, as our HyperModel builds it."""
    classifier = ImageClassifier(
        ImageFacts(**task.facts), weights=weights_of(task, params), seed=task.seed
    )
    return classifier.build(bind(params))


def fit(
    model: Any,
    params: Params,
    task: Task,
    data: Arrays,
    epochs: int,
    callbacks: Sequence[Any],
    initial_epoch: int = 0,
) -> float:
    """Train ``model`` from epoch ``initial_epoch`` to ``epochs``; the schedule spans the track's.

    Returns:
        The best validation accuracy.
    """
    span = find_track(task.track).max_epochs
    alone = int(params["fine_tune.head_epochs"]) if head_alone(params) else 0

    def rate(epoch: int, _: float) -> float:
        factor = float(params["fine_tune.rate_factor"]) if alone and epoch >= alone else 1.0
        return factor * learning_rate(params, epoch, span)

    best = 0.0
    phases = ((initial_epoch, min(alone, epochs)), (max(initial_epoch, alone), epochs))
    for first, last in phases:
        if first >= last or model.stop_training:
            continue
        if alone:
            _compile(model, params, whole=first >= alone)
        patience = int(params["early_stopping.patience"])
        history = model.fit(
            data["x"],
            data["y"],
            batch_size=int(params["batch_size"]),
            epochs=last,
            initial_epoch=first,
            validation_data=(data["vx"], data["vy"]),
            validation_batch_size=_VALIDATION_BATCH,
            callbacks=[
                keras.callbacks.LearningRateScheduler(rate),
                keras.callbacks.TerminateOnNaN(),
                keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=patience),
                *callbacks,
            ],
            verbose=0,
        )
        best = max([best, *history.history.get("val_accuracy", [])])
    return best


def _compile(model: Any, params: Params, whole: bool) -> None:
    """Compile anew, as Keras wants it where other layers train than before.

    Args:
        whole: all that is not frozen trains; else the head alone.
    """
    for part in model.trained[:-1]:
        part.trainable = whole
    model.compile(
        optimizer=build_optimizer(params),
        loss=cross_entropy(model.smoothing),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    start_optimizer(model.optimizer, params)


class Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes down when each epoch reached which validation accuracy."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self._task = task

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        value = float((logs or {}).get("val_accuracy", 0.0))
        seconds = time.time() - self._task.began
        append_json_line(self._task.progress, {"seconds": seconds, "val_accuracy": value})


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Trains until the time is over, to the last epoch that fits."""

    def __init__(self, task: Task, rate: float | None = None, share: float = 1.0) -> None:
        """
        Args:
            rate: falls from here along a cosine that ends with the time; None leaves the rate.
            share: of the time of the task, after which it is over.
        """
        super().__init__()
        self._began, self._seconds, self._rate = task.began, share * task.seconds, rate
        self._epoch_began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch_began = self._spent()
        if self._rate is not None:
            part = min(1.0, self._epoch_began / self._seconds)
            self.model.optimizer.learning_rate = 0.5 * self._rate * (1 + math.cos(math.pi * part))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        spent = self._spent()
        if 2 * spent - self._epoch_began > self._seconds:
            self.model.stop_training = True

    def _spent(self) -> float:
        return time.time() - self._began


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the best weights of all points that one process trains, with their parameters."""

    def __init__(self, folder: Path, params: Params) -> None:
        """
        Args:
            folder: of the best so far; the callback of an earlier point wrote there too.
        """
        super().__init__()
        self._folder, self._params = folder, params
        folder.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.keep(self.model, float((logs or {}).get("val_accuracy", 0.0)))

    def keep(self, model: Any, accuracy: float) -> bool:
        """Keep ``model`` where it is better; a process that is killed leaves the old or the new."""
        known = _read(self._folder / _BEST)
        if known is not None and accuracy <= known["val_accuracy"]:
            return False
        number = 0 if known is None else known["number"] + 1
        model.save_weights(_weights(self._folder, number))
        kept = {"number": number, "val_accuracy": accuracy, "params": self._params}
        write_json(self._folder / _BEST, kept)
        _weights(self._folder, number - 1).unlink(missing_ok=True)
        return True


def predict(task: Task) -> None:
    """Predict the test images with the best weights in the folder of the task.

    A file that the process was killed over is passed by for the next best.

    Raises:
        FileNotFoundError: there are none.
    """
    found = [(_read(path), path.parent) for path in Path(task.folder).rglob(_BEST)]
    usable = [(known, folder) for known, folder in found if known is not None]
    for known, folder in sorted(usable, key=lambda each: -each[0]["val_accuracy"]):
        weights = _weights(folder, known["number"])
        model = build(task, known["params"])
        try:
            model.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            print(f"{weights.name} cannot be loaded: {error}")
            continue
        logits = model.predict(np.load(task.test_images), batch_size=_VALIDATION_BATCH, verbose=0)
        np.save(Path(task.folder) / PREDICTIONS, logits.argmax(axis=1))
        return
    raise FileNotFoundError("no weights were on the disk")


def _weights(folder: Path, number: int) -> Path:
    return folder / f"best-{number}.weights.h5"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
