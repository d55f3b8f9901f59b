"""What a worker is told of a trial."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_img.data.cache import cache_root
from automl_img.data.prepare import Prepared
from automl_img.files import replacing
from automl_img.labels import are_sets
from automl_img.models.signature import signature
from automl_img.objectives import to_measure
from automl_img.runs import Run
from automl_img.search.resources import Resources
from automl_img.settings import SearchSettings
from automl_img.training.costs import Footprint, estimate
from automl_img.trials import Params, TrialRecord, TrialSpec

if TYPE_CHECKING:
    from automl_img.search.sampler import Suggestion

# In the run folder.
ROWS = "rows.npz"
PROBE_ROWS = "probe_rows.npz"
WINNER = "winner"
# Written by ``automl_img.training.final``, which is not imported before Keras is needed.
FINAL_MODEL = "classifier.keras"
_FEATURES = "features"
PROBE_EPOCHS = 10
# Images of a probe: more would rank the backbones little better.
_PROBE_TRAIN = 2000
_PROBE_VALIDATION = 1000


@dataclass(frozen=True)
class Specs:
    """Makes the specs of all trials of a search.

    Attributes:
        weights: file by (backbone, kind of pretrained weights).
        resources: of the machine that trains.
    """

    settings: SearchSettings
    prepared: Prepared
    run: Run
    weights: dict[tuple[str, str], str]
    resources: Resources

    def of(self, trial: Suggestion | TrialRecord, deadline: float | None = None) -> TrialSpec:
        """The spec of a trial that is new, or of one that was run.

        Args:
            deadline: when it has to end, in seconds since 1970.
        """
        prepared, settings = self.prepared, self.settings
        weights = (str(trial.params["backbone"]), str(trial.params.get("weights")))
        return TrialSpec(
            number=trial.number,
            params=trial.params,
            seed=trial.seed,
            max_epochs=settings.max_epochs,
            pixels=str(prepared.pixels.folder.absolute()),
            rows=str(self.run.path / ROWS),
            train_on_all=False,
            class_names=prepared.class_names,
            flips=prepared.flips,
            folder=str(self.run.trial_folder(trial.number)),
            weights=self.weights.get(weights),
            features=str(cache_root() / _FEATURES) if settings.feature_bytes else None,
            feature_bytes=settings.feature_bytes,
            precision=self.resources.precision_of(str(trial.params["backbone"])),
            on_gpu=self.resources.gpus_per_trial > 0,
            objective=settings.objectives[0].name,
            timeout=settings.timeout,
            deadline=deadline,
            # There may be no time to train the winner again; an ensemble needs no training.
            keeps_best=settings.keeps_weights,
            # A repeat is of a network that was measured.
            measures=()
            if trial.origin == "repeat"
            else to_measure(settings.objectives, settings.limits),
            limits=settings.limits.bounded,
        )

    def probe(self, trial: Suggestion, deadline: float | None = None) -> TrialSpec:
        """The spec of a linear probe: few epochs on a part of the images."""
        return dataclasses.replace(
            self.of(trial, deadline),
            max_epochs=min(PROBE_EPOCHS, self.settings.max_epochs),
            rows=str(self.run.path / PROBE_ROWS),
        )

    def retraining(self, winner: TrialRecord, deadline: float | None) -> TrialSpec:
        """The spec for training ``winner`` again, on training and validation images: for the epochs
        that served it best, along the learning rates of its trial; or where the budget cut that
        short, from where it was to the end of its schedule."""
        best = winner.best
        assert best is not None  # ``rank`` gives no other.
        cut = winner.stop_reason == "budget"
        trial = str(self.run.trial_folder(winner.number))
        rates = tuple(result.learning_rate for result in winner.epochs[: best.epoch])
        if cut:
            # Without validation a plateau is not seen: it goes on at the rate that it had.
            plateau = winner.params["optimizer.schedule"] == "plateau"
            rates = (winner.epochs[-1].learning_rate,) if plateau else ()
        return dataclasses.replace(
            self.of(winner, deadline),
            train_on_all=True,
            max_epochs=self.settings.max_epochs if cut else best.epoch,
            learning_rates=rates,
            keeps_best=False,
            measures=(),
            folder=str(self.run.path / WINNER),
            instead=trial,
            goes_on_from=trial if cut else None,
            least_epochs=max(1, best.epoch // 2),
        )

    @property
    def read(self) -> list[str]:
        """Files and folders beside the run folder that trials read."""
        return [str(self.prepared.pixels.folder.absolute()), *set(self.weights.values())]

    def retrained(self) -> bool:
        """Whether a retraining has come to its end."""
        return (self.run.path / WINNER / FINAL_MODEL).exists()

    def write_rows(self) -> None:
        """Write what trials read of the split: which rows of the pixel cache are whose."""
        rows: dict[str, Any] = dict(self.prepared.rows_arrays())
        with replacing(self.run.path / ROWS) as temporary:
            np.savez(temporary, **rows)

    def write_probe_rows(self) -> None:
        """The same for probes, which read a seeded part of the images of each class."""
        rows: dict[str, Any] = dict(self.prepared.rows_arrays())
        rng = np.random.default_rng([self.settings.seed, len(rows["train"])])
        for part, most in (("train", _PROBE_TRAIN), ("validation", _PROBE_VALIDATION)):
            rows[part] = part_of(rows[part], rows["labels"][rows[part]], most, rng)
        with replacing(self.run.path / PROBE_ROWS) as temporary:
            np.savez(temporary, **rows)

    def footprint(self, params: Params) -> Footprint:
        """What training a network takes, before it was built."""
        prepared = self.prepared
        precision = self.resources.precision_of(str(params["backbone"]))
        return estimate(params, prepared.image_size, prepared.channels, precision)

    def graph(self, params: Params) -> str:
        """The signature of the graph that a trial with ``params`` needs."""
        return signature(params, self.prepared.flips, self.prepared.channels)


def predictions_of(trial: TrialRecord) -> str:
    """The name of what a trial predicted for the validation images, where the run keeps it."""
    return f"trial-{trial.number:05d}"


def part_of(
    rows: np.ndarray, labels: np.ndarray, most: int, rng: np.random.Generator
) -> np.ndarray:
    """At most ``most`` of ``rows``, in their order, of each class about the same share; at least
    one of each.

    Args:
        rows: int64 (images,).
        labels: of the rows, see ``automl_img.labels``; of images that may have several classes
            those are taken at random.
    """
    if len(rows) <= most:
        return rows
    if are_sets(labels):
        return np.sort(rng.choice(rows, most, replace=False))
    chosen = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        count = max(1, round(len(own) * most / len(rows)))
        chosen.append(rng.choice(own, count, replace=False))
    return np.asarray(rows[np.sort(np.concatenate(chosen))])
