"""Trials of small networks on separable pictures, as the search hands them to a worker."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.models.hyperparameters import declared
from automl_img.space.presets import Preset, build_space
from automl_img.training.trainer import Trainer
from automl_img.trials import EpochResult, Params, TrialSpec
from tests.pictures import picture

CLASSES = ("blue", "green", "red")
# Its graph takes two seconds, an epoch of 120 pictures a fifth of one.
SMALL = {
    "backbone": "cnn",
    "cnn.depth": "1",
    "cnn.filters": "8",
    "cnn.convolutions": "1",
    "cnn.kernel_size": "3",
    "cnn.batch_normalization": "true",
    "batch_size": "16",
    "optimizer.name": "adam",
    "optimizer.learning_rate": "0.01",
    "head.dropout": "0.1",
}


def params_of(**fix: str) -> Params:
    """Every active hyperparameter of the small network, with some values as typed."""
    typed = {name.replace("__", "."): value for name, value in fix.items()}
    start = SMALL if typed.get("backbone", "cnn") == "cnn" else {"batch_size": "16"}
    return build_space("test", Preset(), declared(), {}, {**start, **typed}).nearest({})


def write_pixels(folder: Path, per_class: int = 60, size: int = 16, seed: int = 0) -> TrialSpec:
    """A pixel cache and its rows in ``folder``, two thirds for training, and a trial on them."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), per_class))
    images = [np.asarray(picture(CLASSES[label], size, rng)) for label in labels]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", np.stack(images))
    rows = np.arange(len(labels), dtype=np.int64)
    cut = 2 * len(rows) // 3
    np.savez(folder / "rows.npz", train=rows[:cut], validation=rows[cut:], labels=labels)
    return TrialSpec(
        number=0,
        params=params_of(),
        seed=0,
        max_epochs=3,
        pixels=str(folder),
        rows=str(folder / "rows.npz"),
        train_on_all=False,
        class_names=CLASSES,
        flips=True,
        folder=str(folder / "trial"),
    )


def with_(spec: TrialSpec, folder: Path | str | None = None, **changes: Any) -> TrialSpec:
    """``spec`` with changed fields; hyperparameters as typed in ``fix``."""
    if "fix" in changes:
        changes["params"] = params_of(**changes.pop("fix"))
    if folder is not None:
        changes["folder"] = str(folder)
    return dataclasses.replace(spec, **changes)


def trainer_of(spec: TrialSpec) -> Trainer:
    """Keeps a checkpoint after each epoch, however short."""
    return Trainer(spec, checkpoint_seconds=0)


def train(spec: TrialSpec) -> list[EpochResult]:
    return list(trainer_of(spec).epochs())


def curve(results: list[EpochResult]) -> list[tuple[float | None, ...]]:
    """What a result says about learning, without the clock."""
    return [(each.loss, each.accuracy, each.val_loss, each.val_accuracy) for each in results]
