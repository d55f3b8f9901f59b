"""What a worker is told of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_img.data.cache import cache_root
from automl_img.data.prepare import Prepared
from automl_img.models.signature import signature
from automl_img.runs import Run
from automl_img.settings import SearchSettings
from automl_img.trials import Params, TrialRecord, TrialSpec

if TYPE_CHECKING:
    from automl_img.search.sampler import Suggestion

_FEATURES = "features"


@dataclass(frozen=True)
class Specs:
    """Makes the specs of all trials of a search.

    Attributes:
        weights: file by (backbone, kind of pretrained weights).
        precision: the policy of Keras for training steps.
    """

    settings: SearchSettings
    prepared: Prepared
    run: Run
    weights: dict[tuple[str, str], str]
    precision: str

    def of(
        self, trial: Suggestion | TrialRecord, weighed_by: Sequence[str] = ("train",)
    ) -> TrialSpec:
        """The spec of a trial that is new, or of one that was run.

        Args:
            weighed_by: the parts of the images whose class frequencies give the class weights.
        """
        prepared, settings = self.prepared, self.settings
        weights = (str(trial.params["backbone"]), str(trial.params.get("weights")))
        return TrialSpec(
            number=trial.number,
            params=trial.params,
            seed=trial.seed,
            max_epochs=settings.max_epochs,
            pixels=str(prepared.pixels.folder.absolute()),
            rows=str(self.run.path / "rows.npz"),
            train_on_all=False,
            class_names=prepared.class_names,
            class_weights=self._class_weights(weighed_by),
            flips=prepared.flips,
            folder=str(self.run.trial_folder(trial.number)),
            weights=self.weights.get(weights),
            features=str(cache_root() / _FEATURES) if settings.feature_bytes else None,
            feature_bytes=settings.feature_bytes,
            precision=self.precision,
        )

    def graph(self, params: Params) -> str:
        """The signature of the graph that a trial with ``params`` needs."""
        return signature(params, self.prepared.flips, self.prepared.channels)

    def _class_weights(self, parts: Sequence[str]) -> tuple[float, ...]:
        """Balanced over ``parts``: images / (classes x images of the class), mean 1 an image."""
        if self.settings.class_weights == "none":
            return ()
        counts = np.sum([self.prepared.class_counts[part] for part in parts], axis=0, dtype=float)
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
        return tuple(float(weight) for weight in weights)
