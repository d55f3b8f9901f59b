"""What becomes of the winner once it is retrained: tested once, exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import Any

import numpy as np

from automl_img.data.sealed import TestImages
from automl_img.errors import first_line
from automl_img.evaluation.label_errors import suspected_labels
from automl_img.events import Listener, Notice, Phase
from automl_img.export.keras import export_keras
from automl_img.export.measure import measure_model
from automl_img.files import disk_is_full
from automl_img.objectives import to_measure
from automl_img.runs import Predictions, Run, remove_folders
from automl_img.search import final
from automl_img.search.choice import Choice
from automl_img.search.ensemble import Ensemble, find_ensemble
from automl_img.search.finals import Retraining
from automl_img.search.specs import WINNER, Specs, predictions_of
from automl_img.search.spending import Spending
from automl_img.search.testing import evaluate, predicted, scored, thresholds_of
from automl_img.training import checkpoint
from automl_img.training.final import load_final
from automl_img.trials import TrialRecord

FINALISTS = 5
Timed = Callable[[str], AbstractContextManager[None]]


def finish(
    specs: Specs, retraining: Retraining, spending: Spending, listener: Listener, timed: Timed
) -> None:
    """Test the retrained winner, once, and export it; with it an ensemble where one was asked for.

    Steps that an earlier session has taken are not taken again.

    Args:
        timed: keeps the seconds that a step takes, by its name.

    Raises:
        SearchError: no trial was usable, or none could be retrained.
        ExportError: the export does not predict as the trained model does; the rest is kept.
    """
    choice, winner, again = retraining.result()
    labels = specs.prepared.index.labels[specs.prepared.split.validation]
    names = specs.prepared.names_of_validation
    keep_validation_predictions(specs.run, choice.trials, labels, names)
    wanted: list[final.Step] = ["test", "export"]
    wanted += ["ensemble"] if specs.settings.ensemble is not None else []
    steps = _Steps(specs, spending, listener)
    done = final.done(specs.run)
    if "test" in done:
        why = {"reason": choice.reason, "scores": _by_number(choice)}
        specs.run.write_json("winner.json", {**(specs.run.read_json("winner.json") or {}), **why})
    for step in wanted:
        if step in done:
            continue
        with timed(step):
            match step:
                case "test":
                    steps.test(choice, winner, again)
                case "export":
                    steps.export()
                case "ensemble":
                    steps.ensemble(labels)
        final.keep_done(specs.run, step)
    clear_trials(specs.run)


class _Steps:
    """What the steps share; nothing is loaded or opened before one needs it."""

    def __init__(self, specs: Specs, spending: Spending, listener: Listener) -> None:
        self._specs, self._spending, self._listener = specs, spending, listener

    @cached_property
    def _final(self) -> tuple[Any, np.ndarray, np.ndarray]:
        return load_final(self._specs.run.path / WINNER)

    @cached_property
    def _samples(self) -> np.ndarray:
        return np.asarray(self._specs.prepared.pixels.images[self._final[1]])

    @cached_property
    def _test(self) -> TestImages:
        """Open from the first step on that needs them."""
        test = self._specs.prepared.test
        self._listener(Phase(f"reading the {test.count:,} test images, once"))
        return test.open(self._listener)

    def test(self, choice: Choice, winner: TrialRecord, again: TrialRecord) -> None:
        """Keep what the retrained winner scores on the test images."""
        run, settings = self._specs.run, self._specs.settings
        classifier, _, _ = self._final
        serving = None
        if facts := to_measure(settings.objectives, settings.limits):
            serving = measure_model(classifier, "latency_ms" in facts).facts()
            if broken := settings.limits.infeasible(serving):
                self._listener(Notice(f"measured again at the end, {broken}"))
        final.forget_older(run)
        keep_winner(run, winner, again, choice, serving)
        note_test(run, winner)
        kept = run.read_predictions(predictions_of(winner))
        thresholds = thresholds_of(self._specs, None if kept is None else kept.probabilities)
        evaluate(self._specs, self._test, classifier, thresholds)
        self._suspect_labels()

    def _suspect_labels(self) -> None:
        """Keep which labels are probably wrong; where that fails, a notice says why."""
        run = self._specs.run
        names = {"validation": run.predictions_of_trials, "test": ["test"]}
        parts = {
            part: [run.read_predictions(name) for name in each] for part, each in names.items()
        }
        try:
            suspected = suspected_labels(
                {
                    part: [each for each in found if each is not None]
                    for part, found in parts.items()
                }
            )
        # Of a library that the search can do without.
        except Exception as error:
            self._listener(Notice(f"nobody looked for wrong labels: {first_line(error)}"))
            return
        if suspected is not None:
            run.write_json("label_errors.json", suspected)

    def export(self) -> None:
        """Write the model, compared with the trained one."""
        self._listener(Phase("exporting the model and comparing it with the trained one"))
        classifier, _, expected = self._final
        names, file = self._specs.prepared.class_names, self._specs.run.model
        # Those that the test was read with.
        thresholds = (self._specs.run.read_json("test.json") or {}).get("thresholds")
        export_keras(classifier, names, file, self._samples, expected, thresholds)

    def ensemble(self, labels: np.ndarray) -> None:
        """An ensemble beside the winner, where there is time for one and one is better; else a
        notice says why not. The winner is tested and exported by now: no failure here costs it.

        Args:
            labels: of the validation images, see ``automl_img.labels``.
        """
        specs, listener = self._specs, self._listener
        if not self._spending.has_time_for(self._spending.reserve.ensemble()):
            listener(Notice("no ensemble: there is no time left for it"))
            return
        listener(Phase("looking for an ensemble of models that are trained already"))
        try:
            found = find_ensemble(specs.run, specs, labels, specs.settings.ensemble or 0)
            if found is None:
                listener(
                    Notice("no ensemble: no average is better than the best model on validation")
                )
                return
            _keep_ensemble(specs, found, self._test, self._samples, listener)
        # Of several large models in one process anything may go wrong.
        except Exception as error:
            if disk_is_full(error):
                raise
            listener(Notice(f"no ensemble: {first_line(error)}"))


def clear_trials(run: Run) -> None:
    """Delete what trials have left, but of those that were cut short and may go on in a later
    session."""
    ended = [f for f in (run.path / "trials").glob("*") if not (f / checkpoint.FILE).exists()]
    remove_folders([run.path / WINNER, *ended])
    with suppress(OSError):
        # Only where it is empty.
        (run.path / "trials").rmdir()


def note_test(run: Run, winner: TrialRecord) -> None:
    """Keep that the test images were read for ``winner``: a run whose budget grew may read them
    once for each winner, and its report says so."""
    tested, own = run.info.get("tested", []), final.identity(winner)
    if tested[-1:] != [own]:
        run.update_info(tested=[*tested, own])


def keep_validation_predictions(
    run: Run, ranked: Sequence[TrialRecord], labels: np.ndarray, names: tuple[str, ...]
) -> None:
    """Keep what the best trials predicted for the validation images.

    Args:
        labels: of the validation images, see ``automl_img.labels``.
        names: their file names.
    """
    # A probe has seen a part of the images.
    whole = [record for record in ranked if record.origin != "probe"]
    for record in whole[:FINALISTS]:
        found = checkpoint.validation_of(run.trial_folder(record.number))
        if found is not None:
            predictions = Predictions(labels, found, names)
            run.write_predictions(predictions_of(record), predictions)


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
            "scores": _by_number(choice),
            "serving": serving,
        },
    )


def _by_number(choice: Choice) -> dict[str, tuple[float, ...]]:
    return {str(number): each for number, each in choice.scores.items()}


def _keep_ensemble(
    specs: Specs, found: Ensemble, test: TestImages, samples: np.ndarray, listener: Listener
) -> None:
    """Export an ensemble, and keep what it scores on the test images."""
    run, names, limits = specs.run, specs.prepared.class_names, specs.settings.limits
    if limits:
        serving = measure_model(found.classifier, "latency_ms" in limits.bounded).facts()
        if broken := limits.infeasible(serving):
            listener(Notice(f"of the ensemble {broken}"))
    expected = predicted(specs, found.classifier, samples)
    thresholds = thresholds_of(specs, found.validation)
    kept = None if thresholds is None else [float(each) for each in thresholds]
    export_keras(found.classifier, names, run.ensemble, samples, expected, kept)
    averaged = predicted(specs, found.classifier, test.images)
    run.write_predictions("ensemble", Predictions(test.labels, averaged, test.names))
    scores = scored(test.labels, averaged, names, thresholds)
    run.write_json("ensemble.json", {**found.to_json(), "test": scores})
