"""What becomes of the winner once it is retrained: tested once, exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from automl_img.data.sealed import TestImages
from automl_img.evaluation.gallery import choose, write_thumbnails
from automl_img.evaluation.scores import score
from automl_img.events import Listener, Notice, Phase
from automl_img.export.keras import export_keras
from automl_img.export.measure import measure_model
from automl_img.objectives import to_measure
from automl_img.runs import Predictions, Run, remove_folders
from automl_img.search.choice import Choice
from automl_img.search.ensemble import Ensemble, find_ensemble
from automl_img.search.finals import Retraining
from automl_img.search.inputs import write_left_out
from automl_img.search.specs import WINNER, Specs
from automl_img.search.spending import Spending
from automl_img.training import checkpoint
from automl_img.training.final import load_final
from automl_img.training.predict import predict_rows
from automl_img.trials import TrialRecord

FINALISTS = 5
Timed = Callable[[str], AbstractContextManager[None]]


def finish(
    specs: Specs, retraining: Retraining, spending: Spending, listener: Listener, timed: Timed
) -> None:
    """Test the retrained winner, once, and export it; with it an ensemble where one was asked for.

    Args:
        timed: keeps the seconds that a step takes, by its name.

    Raises:
        SearchError: no trial was usable, or none could be retrained.
        ExportError: the export does not predict as the trained model does; the rest is kept.
    """
    run, prepared, settings = specs.run, specs.prepared, specs.settings
    choice, winner, again = retraining.result()
    labels = prepared.index.labels[prepared.split.validation]
    keep_validation_predictions(run, choice.trials, labels, prepared.names_of_validation)
    classifier, rows, expected = load_final(run.path / WINNER)
    serving = None
    if facts := to_measure(settings.objectives, settings.limits):
        serving = measure_model(classifier, "latency_ms" in facts).facts()
        if broken := settings.limits.infeasible(serving):
            listener(Notice(f"measured again at the end, {broken}"))
    keep_winner(run, winner, again, choice, serving)
    with timed("test"):
        listener(Phase(f"reading the {prepared.test.count:,} test images, once"))
        test = prepared.test.open(listener)
        evaluate(specs, test, classifier)
    with timed("export"):
        listener(Phase("exporting the model and comparing it with the trained one"))
        samples = np.asarray(prepared.pixels.images[rows])
        export_keras(classifier, prepared.class_names, run.model, samples, expected)
    if settings.ensemble is not None:
        with timed("ensemble"):
            _add_ensemble(specs, labels, test, samples, spending, listener)
    remove_folders([run.path / "trials", run.path / WINNER])


def keep_validation_predictions(
    run: Run, ranked: Sequence[TrialRecord], labels: np.ndarray, names: tuple[str, ...]
) -> None:
    """Keep what the best trials predicted for the validation images.

    Args:
        labels: int64 (validation images,).
        names: their file names.
    """
    # A probe has seen a part of the images.
    whole = [record for record in ranked if record.origin != "probe"]
    for record in whole[:FINALISTS]:
        found = checkpoint.validation_of(run.trial_folder(record.number))
        if found is not None:
            predictions = Predictions(labels, found, names)
            run.write_predictions(f"trial-{record.number:05d}", predictions)


def keep_winner(
    run: Run,
    winner: TrialRecord,
    again: TrialRecord,
    choice: Choice,
    serving: dict[str, float] | None = None,
) -> None:
    """Write ``winner.json``.

    Args:
        again: how the retraining of ``winner`` went.
        serving: what the exported model costs, where that was measured.
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
            "serving": serving,
        },
    )


def evaluate(specs: Specs, test: TestImages, classifier: Any) -> None:
    """Keep what the retrained model scores on the test images."""
    run, names = specs.run, specs.prepared.class_names
    probabilities = predict_rows(classifier, test.images, np.arange(len(test.images)))
    run.write_predictions("test", Predictions(test.labels, probabilities, test.names))
    rows = choose(test.labels, probabilities, specs.settings.seed)
    write_thumbnails(run, test.images, rows)
    run.write_json("test.json", score(test.labels, probabilities, names))
    write_left_out(run, test.left_out)


def _add_ensemble(
    specs: Specs,
    labels: np.ndarray,
    test: TestImages,
    samples: np.ndarray,
    spending: Spending,
    listener: Listener,
) -> None:
    """An ensemble beside the winner, where there is time for one and one is better; else a notice
    says why not. The winner is tested and exported by now: no failure here costs it.

    Args:
        labels: int64 (validation images,).
        test: open since the winner was tested.
        samples: images to compare the export on, see ``export_keras``.
    """
    if not spending.has_time_for(spending.reserve.ensemble()):
        listener(Notice("no ensemble: there is no time left for it"))
        return
    listener(Phase("looking for an ensemble of models that are trained already"))
    try:
        found = find_ensemble(specs.run, specs, labels, specs.settings.ensemble or 0)
        if found is None:
            listener(Notice("no ensemble: no average is better than the best model on validation"))
            return
        _keep_ensemble(specs, found, test, samples, listener)
    # Of several large models in one process anything may go wrong.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        listener(Notice(f"no ensemble: {first[:200]}"))


def _keep_ensemble(
    specs: Specs, found: Ensemble, test: TestImages, samples: np.ndarray, listener: Listener
) -> None:
    """Export an ensemble, and keep what it scores on the test images."""
    run, names, limits = specs.run, specs.prepared.class_names, specs.settings.limits
    if limits:
        serving = measure_model(found.classifier, "latency_ms" in limits.bounded).facts()
        if broken := limits.infeasible(serving):
            listener(Notice(f"of the ensemble {broken}"))
    expected = predict_rows(found.classifier, samples, np.arange(len(samples)))
    export_keras(found.classifier, names, run.ensemble, samples, expected)
    averaged = predict_rows(found.classifier, test.images, np.arange(len(test.images)))
    run.write_predictions("ensemble", Predictions(test.labels, averaged, test.names))
    scores = score(test.labels, averaged, names)
    run.write_json("ensemble.json", {**found.to_json(), "test": scores})
