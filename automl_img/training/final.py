"""Trained models from files: what a retraining ends with, kept so that another process can test
and export it; and what a trial had learnt by its best epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from automl_img.files import replacing
from automl_img.training.predict import predict_rows
from automl_img.training.trainer import Trainer
from automl_img.trials import TrialSpec

# In the folder of the retraining.
MODEL = "classifier.keras"
_SAMPLES = "samples.npz"
_MOST_SAMPLES = 128


def keep_final(trainer: Trainer) -> None:
    """Write the whole classifier, with what it predicts for some training images."""
    rows = np.sort(np.concatenate(trainer.data.parts))[:_MOST_SAMPLES]
    probabilities = predict_rows(
        trainer.serving, trainer.data.images, rows, multi_label=trainer.facts.multi_label
    )
    with replacing(trainer.folder / _SAMPLES) as temporary:
        np.savez(temporary, rows=rows, probabilities=probabilities)
    # Last, as its presence says that all is there.
    with replacing(trainer.folder / MODEL) as temporary:
        trainer.serving.save(temporary)


def load_final(folder: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """What ``keep_final`` wrote in ``folder``.

    Returns:
        The classifier, from uint8 images to logits; int64 rows of the pixel cache; and the class
        probabilities that it gave for these, float32 (rows, classes).
    """
    classifier = keras.models.load_model(folder / MODEL, compile=False, safe_mode=True)
    with np.load(folder / _SAMPLES, allow_pickle=False) as arrays:
        return classifier, arrays["rows"], arrays["probabilities"]


def best_of_trial(spec: TrialSpec) -> Any:
    """The classifier of a trial that has ended, from uint8 images to logits, with the weights of
    its best epoch, which are still in its folder."""
    trainer = Trainer(spec)
    if not trainer.take_best_of(Path(spec.folder)):
        raise RuntimeError(f"{spec.folder} has no weights of its trial")
    return trainer.serving
