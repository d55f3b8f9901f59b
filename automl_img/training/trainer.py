"""Trains one trial, epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from automl_img.data.batches import Batches, evaluation_batches
from automl_img.data.pixels import PixelCache
from automl_img.files import replacing
from automl_img.models.hypermodel import (
    ImageClassifier,
    ImageFacts,
    bind,
    compile_model,
    set_backbone_trainable,
    trains_backbone,
)
from automl_img.models.optimizer import learning_rate
from automl_img.training import checkpoint
from automl_img.training.feed import TrainingFeed
from automl_img.training.guards import DivergenceGuard
from automl_img.trials import EpochResult, TrialSpec

VALIDATION = "validation.npz"
_EVALUATION_BATCH = 128


class Trainer:
    """One trial. After ``epochs`` was run through, the attributes tell how it went.

    Attributes:
        model: the compiled model, see ``ImageClassifier``.
        results: of the epochs so far.
        stop_reason: "finished" or "early stopping".
        ms_per_image: the fastest validation pass so far, in milliseconds an image.
    """

    def __init__(self, spec: TrialSpec) -> None:
        self.spec = spec
        self.folder = Path(spec.folder)
        self.images = PixelCache(Path(spec.pixels)).images
        with np.load(spec.rows, allow_pickle=False) as rows:
            self.labels = rows["labels"]
            train, self.validation = rows["train"], rows["validation"]
        if spec.train_on_all:
            train, self.validation = np.concatenate([train, self.validation]), train[:0]
        batch_size = int(spec.params["batch_size"])
        self.batches = Batches(self.images, self.labels, train, batch_size, spec.seed)
        self.results: list[EpochResult] = []
        self.stop_reason = "finished"
        self.ms_per_image: float | None = None
        self.model = self._build()

    @property
    def parameters(self) -> int:
        return int(self.model.count_params())

    def epochs(self) -> Iterator[EpochResult]:
        """Train, and yield the result of each epoch, going on from a checkpoint if there is one.

        A resumed trial yields its last result again: its report may have been lost.

        Raises:
            Diverged: at the first loss that is not finite.
        """
        self.results = checkpoint.saved_results(self.folder)
        start = len(self.results)
        self._enter_phase(max(start - 1, 0))
        if start:
            checkpoint.restore(self.folder, self.model)
            yield self.results[-1]
        for epoch in range(start, self.spec.max_epochs):
            if self._stops_early():
                self.stop_reason = "early stopping"
                break
            if epoch and epoch == self._head_epochs:
                self._enter_phase(epoch)
            self.results.append(self._train_epoch(epoch))
            if not self.spec.train_on_all and epoch + 1 < self.spec.max_epochs:
                checkpoint.save(self.folder, self.model, self.results)
            yield self.results[-1]
        checkpoint.remove(self.folder)

    @property
    def _head_epochs(self) -> int:
        """Epochs of the head alone; none where the backbone stays frozen anyway."""
        asked = int(self.spec.params.get("fine_tune.head_epochs", 0))
        return asked if trains_backbone(self.model) else 0

    def _build(self) -> Any:
        spec = self.spec
        size, channels = self.images.shape[1], self.images.shape[3]
        facts = ImageFacts(size, channels, len(spec.class_names), spec.flips)
        return ImageClassifier(facts, weights=spec.weights, seed=spec.seed).build(bind(spec.params))

    def _enter_phase(self, epoch: int) -> None:
        """The head alone for the first epochs, then what is not frozen, with a new optimizer."""
        if self._head_epochs:
            set_backbone_trainable(self.model, epoch >= self._head_epochs)
            compile_model(self.model, self.spec.params)

    def _train_epoch(self, epoch: int) -> EpochResult:
        started = time.perf_counter()
        rate = self._rate(epoch)
        self.model.optimizer.learning_rate = rate
        guard = DivergenceGuard()
        history = self.model.fit(
            TrainingFeed(self.batches, epoch, self.spec.class_weights),
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[guard],
            shuffle=False,
            verbose=0,
        ).history
        guard.check(epoch + 1, rate)
        probabilities = self._validate()
        val_loss, val_accuracy = self._score(probabilities)
        guard.check(epoch + 1, rate, val_loss)
        result = EpochResult(
            epoch=epoch + 1,
            loss=float(history["loss"][-1]),
            accuracy=float(history["accuracy"][-1]),
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=time.perf_counter() - started,
            learning_rate=rate,
        )
        if len(probabilities) and all(result.quality > old.quality for old in self.results):
            with replacing(self.folder / VALIDATION) as temporary:
                np.savez(temporary, probabilities=probabilities)
        return result

    def _rate(self, epoch: int) -> float:
        if self.spec.learning_rates:
            return self.spec.learning_rates[min(epoch, len(self.spec.learning_rates) - 1)]
        losses = [result.val_loss for result in self.results if result.val_loss is not None]
        # What the head alone reached says nothing about a plateau of the whole.
        losses = losses if epoch < self._head_epochs else losses[self._head_epochs :]
        rate = learning_rate(self.spec.params, epoch, self.spec.max_epochs, losses)
        if self._head_epochs and epoch >= self._head_epochs:
            rate *= float(self.spec.params["fine_tune.rate_factor"])
        return rate

    def _validate(self) -> np.ndarray:
        """Class probabilities of the validation images; no rows where there are none."""
        if not len(self.validation):
            return np.zeros((0, len(self.spec.class_names)), np.float32)
        started = time.perf_counter()
        probabilities = predict_rows(self.model, self.images, self.validation)
        each = 1000 * (time.perf_counter() - started) / len(self.validation)
        self.ms_per_image = min(each, self.ms_per_image or each)
        return probabilities

    def _score(self, probabilities: np.ndarray) -> tuple[float | None, float | None]:
        """(cross-entropy, accuracy) of the validation images."""
        if not len(probabilities):
            return None, None
        labels = self.labels[self.validation]
        chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
        loss = float(-np.log(np.maximum(chosen, 1e-12)).mean())
        accuracy = float((probabilities.argmax(axis=1) == labels).mean())
        return loss, accuracy

    def _stops_early(self) -> bool:
        """Whether ``early_stopping.patience`` epochs brought no better validation accuracy."""
        scores = [result.val_accuracy for result in self.results if result.val_accuracy is not None]
        if not scores:
            return False
        best = scores.index(max(scores))
        return len(scores) - 1 - best >= int(self.spec.params["early_stopping.patience"])


def predict_rows(model: Any, images: Any, rows: Any) -> np.ndarray:
    """Class probabilities, float32 of shape (rows, classes), of the given rows of ``images``.

    Args:
        model: gives logits for uint8 images.
        images: uint8 (images, size, size, channels), memory-mapped or not.
        rows: int64 (rows,).
    """
    parts = []
    for batch, count in evaluation_batches(images, rows, _EVALUATION_BATCH):
        logits = keras.ops.convert_to_numpy(model.predict_on_batch(batch))[:count]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts.append(shifted / shifted.sum(axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32)
