"""Who wins, and what becomes of the winner: retrained, tested once, exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data.listing import LeftOut
from automl_img.data.sealed import SealedTest
from automl_img.errors import SearchError
from automl_img.evaluation.gallery import choose, write_thumbnails
from automl_img.evaluation.scores import score
from automl_img.events import EpochEnded, Listener
from automl_img.export.keras import export_keras
from automl_img.runs import Predictions, Run
from automl_img.training.trainer import VALIDATION, Trainer, predict_rows
from automl_img.trials import EpochResult, TrialRecord, TrialSpec, TrialState

FINALISTS = 5
_PARITY_IMAGES = 128


def rank(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials with a validation accuracy, the best first; among equals the lower loss, then the
    smaller model, then the earlier trial. Stopped and interrupted trials count as others do; those
    that failed on the way come last, since they would fail again.

    Raises:
        SearchError: there is none.
    """
    usable = [record for record in records if record.best is not None]
    if not records:
        raise SearchError("the search was stopped before a trial ended; there is nothing to keep")
    if not usable:
        errors = [record.error for record in records if record.error]
        why = f"; the first failed with: {errors[0]}" if errors else ""
        raise SearchError(f"none of {len(records)} trials finished an epoch{why}")
    return sorted(usable, key=_place)


def keep_validation_predictions(
    run: Run, ranked: Sequence[TrialRecord], labels: np.ndarray, names: tuple[str, ...]
) -> None:
    """Keep what the best trials predicted for the validation images.

    Args:
        labels: int64 (validation images,).
        names: their file names.
    """
    for record in ranked[:FINALISTS]:
        path = run.trial_folder(record.number) / VALIDATION
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                predictions = Predictions(labels, arrays["probabilities"], names)
            run.write_predictions(f"trial-{record.number:05d}", predictions)


def retrain(run: Run, winner: TrialRecord, spec: TrialSpec, listener: Listener) -> Trainer:
    """Train the winner again, on training and validation images, for the epochs that served it
    best, along the learning rates of its trial.

    Args:
        spec: of the winner's trial.
    """
    best = winner.best
    assert best is not None  # ``rank`` gives no other.
    again = dataclasses.replace(
        spec,
        train_on_all=True,
        max_epochs=best.epoch,
        learning_rates=tuple(result.learning_rate for result in winner.epochs[: best.epoch]),
        folder=str(run.path / "winner"),
    )
    trainer = Trainer(again)
    history: list[EpochResult] = []
    for result in trainer.epochs():
        history.append(result)
        listener(EpochEnded(None, result))
    run.write_json(
        "winner.json",
        {
            "number": winner.number,
            "params": winner.params,
            "epochs": best.epoch,
            "validation_accuracy": best.val_accuracy,
            "parameters": trainer.parameters,
            "ms_per_image": winner.ms_per_image,
            "history": [dataclasses.asdict(result) for result in history],
        },
    )
    return trainer


def evaluate_once(
    run: Run,
    model: Any,
    sealed: SealedTest,
    class_names: tuple[str, ...],
    seed: int,
    listener: Listener,
) -> tuple[LeftOut, ...]:
    """Open the test images, for the only time, and keep what the retrained ``model`` scores there.

    Returns:
        The test images that could not be decoded.
    """
    test = sealed.open(listener)
    probabilities = predict_rows(model, test.images, np.arange(len(test.images)))
    run.write_predictions("test", Predictions(test.labels, probabilities, test.names))
    rows = choose(test.labels, probabilities, seed)
    write_thumbnails(run, test.images, rows)
    run.write_json("test.json", score(test.labels, probabilities, class_names))
    return test.left_out


def export_winner(run: Run, trainer: Trainer) -> Path:
    """Write ``model.keras`` and compare it with the trained model on training images.

    Raises:
        ExportError: they differ.
    """
    rows = np.flatnonzero(trainer.data.labels >= 0)[:_PARITY_IMAGES]
    export_keras(
        trainer.serving,
        trainer.spec.class_names,
        run.model,
        np.asarray(trainer.data.images[rows]),
        predict_rows(trainer.serving, trainer.data.images, rows),
    )
    return run.model


def _place(record: TrialRecord) -> tuple[float, ...]:
    """For sorting, the best first."""
    accuracy, loss = record.best.quality if record.best else (0.0, 0.0)
    failed = record.state is TrialState.FAILED
    return failed, -accuracy, -loss, float(record.parameters or 0), float(record.number)
