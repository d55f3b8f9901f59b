"""An ensemble of models that the search has trained already, chosen without another training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl_img.evaluation.ensemble import average, greedy
from automl_img.metrics import accuracy
from automl_img.models.ensemble import ensemble_model
from automl_img.runs import Run
from automl_img.search.choice import rank
from automl_img.search.specs import Specs
from automl_img.training import checkpoint
from automl_img.training.final import best_of_trial
from automl_img.trials import TrialRecord, reached

# Of what the best one reached, that a member must reach.
_LEAST = 0.9


@dataclass(frozen=True)
class Ensemble:
    """A weighted average of models of the search, each as it was after its best epoch.

    Attributes:
        members: their trials, repeats of finalists among them.
        weights: one a member, above 0, sum 1.
        validation_accuracy: on the images that it was chosen on, so an optimistic one.
        validation: what it predicts for these, float32 (images, classes).
        classifier: from uint8 images to logits.
    """

    members: tuple[TrialRecord, ...]
    weights: tuple[float, ...]
    validation_accuracy: float
    validation: np.ndarray
    classifier: Any

    def to_json(self) -> dict[str, Any]:
        """What ``ensemble.json`` says of it, beside its test."""
        return {
            "members": [
                {"number": member.number, "weight": weight}
                for member, weight in zip(self.members, self.weights, strict=True)
            ],
            "validation_accuracy": self.validation_accuracy,
        }


def find_ensemble(run: Run, specs: Specs, labels: np.ndarray, most: int) -> Ensemble | None:
    """The best average, on the validation images, of at most ``most`` trials; None where nothing is
    better than the best of them alone.

    "Best" is by the objective of the search. Trials take part whose weights are still there and who
    reach at least 0.9 of the best one: a worse one turns a few validation images by chance, and
    spoils the probabilities. See
    ``automl_img.evaluation.ensemble``.

    Args:
        labels: of the validation images, see ``automl_img.labels``.
        most: at least 2.
    """
    offered = []
    ranked = rank(run.trials())
    least = _LEAST * max(reached(record.epochs) for record in ranked)
    for record in ranked:
        folder = run.trial_folder(record.number)
        # A probe has seen other images than the trials.
        kept = record.origin != "probe" and checkpoint.best_epoch(folder) is not None
        predictions = checkpoint.validation_of(folder)
        if kept and predictions is not None and reached(record.epochs) >= least:
            offered.append((record, predictions))
    if len(offered) < 2:
        return None
    predicted = [probabilities for _, probabilities in offered]
    chosen = greedy(predicted, labels, most, specs.settings.objectives[0].name)
    if len(chosen.members) < 2:
        return None
    members = tuple(offered[place][0] for place in chosen.members)
    weights = tuple(chosen.weights[place] for place in chosen.members)
    classifiers = _classifiers(specs, members)
    together = average(predicted, chosen.weights)
    model = ensemble_model(classifiers, weights, specs.prepared.multi_label)
    return Ensemble(members, weights, accuracy(together, labels), together, model)


def _classifiers(specs: Specs, members: Sequence[TrialRecord]) -> list[Any]:
    return [best_of_trial(specs.of(member)) for member in members]
