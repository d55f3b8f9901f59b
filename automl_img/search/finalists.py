"""What becomes of the winner once it is retrained: tested once, exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data.listing import LeftOut
from automl_img.data.sealed import SealedTest
from automl_img.evaluation.gallery import choose, write_thumbnails
from automl_img.evaluation.scores import score
from automl_img.events import Listener
from automl_img.export.keras import export_keras
from automl_img.runs import Predictions, Run
from automl_img.search.choice import Choice
from automl_img.training.predict import predict_rows
from automl_img.training.trainer import VALIDATION
from automl_img.trials import TrialRecord

FINALISTS = 5


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


def keep_winner(run: Run, winner: TrialRecord, again: TrialRecord, choice: Choice) -> None:
    """Write ``winner.json``.

    Args:
        again: how the retraining of ``winner`` went.
    """
    best = winner.best
    assert best is not None  # ``rank`` gives no other.
    run.write_json(
        "winner.json",
        {
            "number": winner.number,
            "params": winner.params,
            "epochs": len(again.epochs),
            "validation_accuracy": best.val_accuracy,
            "parameters": again.parameters or winner.parameters,
            "ms_per_image": winner.ms_per_image,
            "history": [dataclasses.asdict(result) for result in again.epochs],
            # Where the time was up, it is the model of the trial.
            "retrained": again.stop_reason != "budget",
            "reason": choice.reason,
            "accuracies": {str(number): each for number, each in choice.accuracies.items()},
        },
    )


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


def export_winner(
    run: Run, classifier: Any, class_names: tuple[str, ...], samples: Any, expected: Any
) -> Path:
    """Write ``model.keras`` and compare it with what the retrained model predicted.

    Args:
        classifier: from uint8 images to logits.
        samples: uint8 (images, size, size, channels), none of them a test image.
        expected: float32 (images, classes), the probabilities that the retraining ended with.

    Raises:
        ExportError: they differ.
    """
    export_keras(classifier, class_names, run.model, np.asarray(samples), expected)
    return run.model
