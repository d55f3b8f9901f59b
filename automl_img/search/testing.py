"""What a model that has won says of the test images, and what that is worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from automl_img.data.sealed import TestImages
from automl_img.evaluation.coarse import score_coarse
from automl_img.evaluation.gallery import choose, write_thumbnails
from automl_img.evaluation.label_sets import best_thresholds, score_sets
from automl_img.evaluation.scores import score
from automl_img.label_scores import THRESHOLD
from automl_img.metrics import confidence, right
from automl_img.runs import Predictions
from automl_img.search.inputs import write_left_out
from automl_img.search.specs import Specs
from automl_img.training.predict import predict_rows


def evaluate(
    specs: Specs, test: TestImages, classifier: Any, thresholds: np.ndarray | None = None
) -> None:
    """Keep what the retrained model scores on the test images.

    Args:
        thresholds: of images that may have several classes, float (classes,).
    """
    run, names = specs.run, specs.prepared.class_names
    probabilities = predicted(specs, classifier, test.images)
    run.write_predictions("test", Predictions(test.labels, probabilities, test.names))
    right_ones = right(probabilities, test.labels, thresholds)
    sure = confidence(probabilities, test.labels, thresholds)
    write_thumbnails(run, test.images, choose(right_ones, sure, specs.settings.seed))
    scores = scored(test.labels, probabilities, names, thresholds)
    coarse = specs.prepared.index.coarse
    if coarse is not None and len(set(coarse)) > 1:
        scores["coarse"] = score_coarse(test.labels, probabilities, coarse)
    run.write_json("test.json", scores)
    write_left_out(run, test.left_out)


def thresholds_of(specs: Specs, predicted: np.ndarray | None) -> np.ndarray | None:
    """From which probability on each class is said to be there; None where images have one.

    Args:
        predicted: of the validation images, (images, classes); None where that was not kept.
    """
    prepared = specs.prepared
    if not prepared.multi_label:
        return None
    if predicted is None or not np.isfinite(predicted).all():
        return np.full(len(prepared.class_names), THRESHOLD, np.float32)
    return best_thresholds(prepared.index.labels[prepared.split.validation], predicted)


def scored(
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: tuple[str, ...],
    thresholds: np.ndarray | None,
) -> dict[str, Any]:
    """Every score, see ``automl_img.evaluation.scores`` and ``label_sets``.

    Args:
        thresholds: None where each image has one class.
    """
    if thresholds is None:
        return score(labels, probabilities, names)
    return score_sets(labels, probabilities, names, thresholds)


def predicted(specs: Specs, classifier: Any, images: Any) -> np.ndarray:
    """What ``classifier`` says of ``images``, float32 (images, classes)."""
    sets = specs.prepared.multi_label
    return predict_rows(classifier, images, np.arange(len(images)), multi_label=sets)
