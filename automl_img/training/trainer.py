"""Trains one trial, epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.errors import OutOfTime
from automl_img.models.device import sees_gpu
from automl_img.models.network import (
    TrainingModel,
    copy_weights,
    head_alone,
    serving_model,
    training_model,
)
from automl_img.models.optimizer import learning_rate
from automl_img.training import checkpoint
from automl_img.training.countdown import Countdown
from automl_img.training.footprint import check_fits
from automl_img.training.graphs import GraphCache, key_of
from automl_img.training.guards import check_finite
from automl_img.training.inputs import Inputs, TrialImages, inputs_of
from automl_img.training.other_nodes import OtherNodes
from automl_img.training.pace import Pace
from automl_img.training.peak import GROWTH
from automl_img.training.predict import EVALUATION_BATCH, predict_rows, validated
from automl_img.training.steps import Steps
from automl_img.trials import EpochResult, TrialSpec, epochs_since_best

# A trial that is cut off loses at most so much work; a short one pays for no checkpoint.
CHECKPOINT_SECONDS = 10.0
_FEATURES_AT_ONCE = 1024


@dataclass(frozen=True)
class _Phase:
    """The head alone, or all that is not frozen."""

    inputs: Inputs
    steps: Steps
    traces: int


class Trainer:
    """One trial. After ``epochs`` was run through, the attributes tell how it went.

    Attributes:
        results: of the epochs so far.
        stop_reason: "finished", "early stopping" or "budget" (its time was over).
        ms_per_image: the fastest validation pass so far, in milliseconds an image, what is kept of
            the frozen part included.
        notice: what the user should know, in a sentence, or None.
        precision: the policy of Keras that it trains with.
    """

    def __init__(
        self,
        spec: TrialSpec,
        graphs: GraphCache | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        others: OtherNodes | None = None,
    ) -> None:
        """
        Args:
            graphs: of the worker, which keeps them from trial to trial; None keeps none.
            checkpoint_seconds: between two checkpoints there is at least so much time.
            others: of a cluster.
        """
        self._pace = Pace(spec)
        self.spec = spec
        self.folder = Path(spec.folder)
        self.data = TrialImages(spec)
        self.facts = self.data.facts(spec)
        self.results: list[EpochResult] = checkpoint.saved_results(self.folder)
        self.stop_reason = "finished"
        self.ms_per_image: float | None = None
        self.notice: str | None = None
        self.precision = spec.precision
        if spec.on_gpu and not sees_gpu():
            self.precision = "float32"
            self.notice = (
                "trials train on the CPU, as Keras sees no GPU here; with TensorFlow it needs "
                "pip install 'tensorflow[and-cuda]'"
            )
        self._graphs, self._others = graphs or GraphCache(), others
        self._alone = head_alone(spec.params)
        self._head_epochs = int(spec.params["fine_tune.head_epochs"]) if self._alone else 0
        self._traced_before = 0
        self._countdown = Countdown(spec.deadline)
        self._earlier = 0 if self.results else self._epochs_of(spec.goes_on_from)
        self._phase = self._phase_of(max(len(self.results) - 1, 0))
        source = self.folder if self.results else Path(spec.goes_on_from or "")
        begun = self.results or self._earlier
        if begun and not checkpoint.restore(source, self.model.state()):
            self.results, self._earlier = [], 0
            self._phase = self._phase_of(0)
        self._saved, self._between = time.monotonic(), checkpoint_seconds

    @property
    def model(self) -> TrainingModel:
        """What is trained at present: of a frozen part only what is not kept as features."""
        return self._phase.steps.model

    @property
    def parameters(self) -> int:
        """Of the whole classifier, frozen ones included."""
        return self._phase.inputs.frozen_parameters + self.model.parameters

    @property
    def graphs_traced(self) -> int:
        """Compiled functions that were traced for this trial and not found in the worker."""
        phase = self._phase
        return self._traced_before + self.model.traces - phase.traces + phase.inputs.traced

    @cached_property
    def serving(self) -> Any:
        """The whole classifier as trained by now, from uint8 images to logits, float32."""
        return serving_model(self.spec.params, self.facts, self.spec.weights, self.model)

    def epochs(self) -> Iterator[EpochResult]:
        """Train, and yield the result of each epoch, going on from a checkpoint if there is one.

        A resumed trial yields its last result again: its report may have been lost.

        Raises:
            Diverged: when the loss is not finite.
        """
        start = len(self.results)
        if start:
            yield self.results[-1]
        # With a deadline all of the time is spent on what is left of the schedule.
        done = self._earlier if self.spec.deadline is None else 0
        for epoch in range(start, self.spec.max_epochs - done):
            if epochs_since_best(self.results) >= int(self.spec.params["early_stopping.patience"]):
                self.stop_reason = "early stopping"
                break
            if self._pace.ends(self.results):
                self._end_with_the_time()
                break
            if epoch and self._earlier + epoch == self._head_epochs:
                self._enter_next_phase(epoch)
            try:
                self.results.append(self._train_epoch(epoch))
            except OutOfTime:
                self._end_with_the_time()
                break
            # What goes on from another trial's checkpoint has that one.
            if not self._earlier and epoch + 1 < self.spec.max_epochs:
                self._checkpoint()
            yield self.results[-1]
            if self.stop_reason == "budget":
                break

    def _end_with_the_time(self) -> None:
        """A retraining is as good as its time allowed; begun anew it needs some epochs to count."""
        least = 1 if self._earlier else max(1, self.spec.least_epochs)
        enough = self.spec.train_on_all and len(self.results) >= least
        self.stop_reason = "finished" if enough else "budget"

    def _epochs_of(self, folder: str | None) -> int:
        """Epochs of a trial to go on from; 0 without a checkpoint beyond its head alone."""
        done = len(checkpoint.saved_results(Path(folder))) if folder else 0
        return done if done > self._head_epochs else 0

    def _enter_next_phase(self, epoch: int) -> None:
        """Go on with all that is not frozen, and the head as it was trained alone."""
        self._traced_before = self.graphs_traced
        self._countdown.begin()
        head = self.model.head
        self._phase = self._phase_of(epoch)
        copy_weights(head, self.model.head)

    def _phase_of(self, epoch: int) -> _Phase:
        """The head alone for the first epochs, then what is not frozen, with a new optimizer."""
        spec, facts = self.spec, self.facts
        params, last = spec.params, spec.max_epochs
        if self._alone and self._earlier + epoch < self._head_epochs:
            params, last = self._alone, min(last, self._head_epochs)
        epochs = range(epoch, last)
        inputs, notice = inputs_of(spec, params, self.data, facts, epochs, self._others)
        self.notice = notice or self.notice
        GROWTH.begin()
        steps = self._graphs.get(
            key_of(params, facts, spec.weights, inputs.kept, self.precision),
            lambda: training_model(params, facts, spec.weights, inputs.kept),
        )
        check_fits(steps.model, spec)
        traces = steps.model.traces
        steps.model.start(params, spec.seed)
        return _Phase(inputs, steps, traces)

    def _train_epoch(self, epoch: int) -> EpochResult:
        started = time.perf_counter()
        rate = self._rate(epoch)
        self.model.optimizer.learning_rate = rate
        loss, accuracy = self._fit(epoch, rate)
        probabilities = self._validate()
        result = EpochResult(
            epoch=epoch + 1,
            loss=loss,
            accuracy=accuracy,
            **validated(probabilities, self.data.labels_to_validate, self.spec.objective),
            seconds=time.perf_counter() - started,
            learning_rate=rate,
        )
        # Shows what the last step did, after the last training loss.
        check_finite(result.val_loss or 0.0, epoch + 1, rate)
        if len(probabilities) and all(result.quality > old.quality for old in self.results):
            checkpoint.save_validation(self.folder, probabilities)
            if self.spec.keeps_best:
                checkpoint.save_best(self.folder, self._weights(), result.epoch)
        return result

    def _weights(self) -> list[Any]:
        """What a trial learns, the optimizer's variables aside."""
        return [weight for part in self.model.trained for weight in part.variables]

    def take_best_of(self, folder: Path) -> bool:
        """Have the weights that a trial of the same hyperparameters had after its best epoch.

        Args:
            folder: of that trial, which kept its best weights.

        Returns:
            False, with the weights as they were, where none were kept.
        """
        epoch = checkpoint.best_epoch(folder)
        if epoch is None:
            return False
        self._earlier = 0
        self._phase = self._phase_of(epoch - 1)
        return checkpoint.restore_best(folder, self._weights())

    def _fit(self, epoch: int, rate: float) -> tuple[float, float]:
        """Mean loss and accuracy of an epoch of steps.

        The first epoch of a trial may be cut short by the end of the time: so even a budget that is
        shorter than an epoch gives a model.

        Raises:
            OutOfTime: there is no time for the rest of the epoch, and others are there.
        """
        batches = self._phase.inputs.batches(epoch)
        means, counts = [], []
        share = len(self.data.validation) / batches.batch_size
        for numbers in self._countdown.steps(len(batches), share):
            means.append(self._phase.steps.train(batches, epoch, numbers))
            counts.append(len(numbers))
            check_finite(means[-1][0], epoch + 1, rate)
        if sum(counts) < len(batches):
            if self.results or self.spec.train_on_all or not means:
                raise OutOfTime
            self.stop_reason = "budget"
        loss, accuracy = np.average(means, axis=0, weights=counts)
        return float(loss), float(accuracy)

    def _checkpoint(self) -> None:
        if time.monotonic() - self._saved >= self._between:
            checkpoint.save(self.folder, self.model.state(), self.results)
            self._saved = time.monotonic()

    def _rate(self, epoch: int) -> float:
        place = self._pace.place(self.results, self._earlier)
        if self.spec.learning_rates:
            return self.spec.learning_rates[min(place, len(self.spec.learning_rates) - 1)]
        losses = [result.val_loss for result in self.results if result.val_loss is not None]
        # What the head alone reached says nothing about a plateau of the whole.
        losses = losses if epoch < self._head_epochs else losses[self._head_epochs :]
        rate = learning_rate(self.spec.params, place, self.spec.max_epochs, losses)
        if self._head_epochs and self._earlier + epoch >= self._head_epochs:
            rate *= float(self.spec.params["fine_tune.rate_factor"])
        return rate

    def _validate(self) -> np.ndarray:
        """Class probabilities of the validation images; no rows where there are none."""
        inputs = self._phase.inputs
        array, rows = inputs.validation()
        if not len(rows):
            return np.zeros((0, len(self.spec.class_names)), np.float32)
        started, traced = time.perf_counter(), self.model.traces
        batch = EVALUATION_BATCH if inputs.kept is None else _FEATURES_AT_ONCE
        sets = self.facts.multi_label
        probabilities = predict_rows(self._phase.steps, array, rows, batch, sets)
        seconds = time.perf_counter() - started
        if self.model.traces == traced:
            self._countdown.validated(seconds)
        each = 1000 * seconds / len(rows) + inputs.frozen_ms_per_image()
        self.ms_per_image = min(each, self.ms_per_image or each)
        return probabilities
