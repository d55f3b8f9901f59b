"""The values of a trial: what to train, what each epoch gave, how it ended."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Value = bool | int | float | str
Params = dict[str, Value]
Origin = Literal["probe", "start set", "warm start", "sampler", "repeat"]


class TrialState(enum.StrEnum):
    """How a trial ended, in Optuna's words."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave.

    Attributes:
        epoch: epochs trained so far, from 1.
        loss: mean training loss, with regularisation, augmentation and label smoothing.
        accuracy: training accuracy, on augmented images, in [0, 1].
        val_loss: plain cross-entropy on the validation images, so that trials compare; None when
            there is no validation (the retraining).
        val_accuracy: in [0, 1]; None when there is no validation.
        seconds: wall time of the epoch, validation included.
        learning_rate: the rate of this epoch.
        score: what the search compares by where that is not the accuracy, in [0, 1], the higher the
            better; see ``automl_img.metrics.score``.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    learning_rate: float
    score: float | None = None

    @property
    def objective(self) -> float | None:
        """What the search compares by; None where there is no validation."""
        return self.val_accuracy if self.score is None else self.score

    @property
    def quality(self) -> tuple[float, float]:
        """For comparing epochs and trials: the higher objective, then the lower validation loss."""
        reached = -1.0 if self.objective is None else self.objective
        loss = float("inf") if self.val_loss is None else self.val_loss
        return reached, -loss


@dataclass(frozen=True)
class TrialSpec:
    """All that a worker needs to train one trial; plain values, so that it travels as JSON.

    Attributes:
        number: the number of the trial in the study, from 0.
        params: every active hyperparameter, searched or not.
        seed: of the weights, the shuffling and the augmentation.
        max_epochs: upper bound of epochs; schedules span it.
        pixels: folder of the pixel cache with the training and validation images; it holds no
            test image.
        rows: ``.npz`` file with ``train`` and ``validation``, int64 rows of that cache, and
            ``labels``, one for each row of the cache, see ``automl_img.labels``.
        train_on_all: train on both, without validation, as the winner is.
        class_names: names in the order of the labels.
        flips: whether mirrored images keep their class, which decides the default augmentation.
        folder: absolute path of the trial's own folder in the run folder.
        weights: file of pretrained weights for the backbone, or None.
        learning_rates: the rate of each epoch; empty follows the schedule in ``params``. The
            winner is retrained along the rates of its trial, which saw validation losses.
        features: root folder for the kept outputs of frozen backbones; None keeps none.
        feature_bytes: the most that all of them together may take on the disk.
        precision: the policy of Keras for the steps: "float32" or, on machines made for it,
            "mixed_bfloat16", with weights in float32 in both.
        on_gpu: whether a GPU, or a share of one, is its.
        memory_bytes: the most that may be estimated for a training step, or 0 for no bound; what
            needs more is not trained.
        shares: of its machine that it has, each as large as ``automl_img.search.resources`` says.
        objective: the score that trials are compared by; see ``automl_img.metrics.score``.
        timeout: seconds after which a trial that does nothing is ended; 0 waits for ever.
        deadline: when the trial ends at the latest, in the midst of an epoch if need be, in seconds
            since 1970; None sets no limit.
        instead: of a retraining: the folder of its trial, whose weights are taken where the
            deadline comes first.
        goes_on_from: of a retraining: the folder of its trial, which was cut short, to go on from
            its last checkpoint; None begins anew.
        least_epochs: of a retraining that begins anew: with fewer by the deadline it takes the
            weights of its trial.
        keeps_best: whether the weights of the best epoch stay in ``folder``.
        measures: facts of the exported model that are measured before anything is trained, by
            their names in ``TrialRecord.serving``; empty for none.
        limits: the most that these may be, by name; what is beyond is not trained.
    """

    number: int
    params: Params
    seed: int
    max_epochs: int
    pixels: str
    rows: str
    train_on_all: bool
    class_names: tuple[str, ...]
    flips: bool
    folder: str
    weights: str | None = None
    learning_rates: tuple[float, ...] = ()
    features: str | None = None
    feature_bytes: int = 0
    precision: str = "float32"
    on_gpu: bool = False
    memory_bytes: int = 0
    shares: int = 1
    objective: str = "val_accuracy"
    timeout: float = 0.0
    deadline: float | None = None
    instead: str | None = None
    goes_on_from: str | None = None
    least_epochs: int = 0
    keeps_best: bool = False
    measures: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialStart:
    """A trial was handed to a worker; the fields are those of ``TrialRecord``.

    Attributes:
        epochs: that it had trained before.
        at: seconds since 1970, UTC.
    """

    number: int
    params: Params
    seed: int
    origin: Origin
    repeat_of: int | None
    epochs: int
    at: float

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrialStart:
        """The start of a line of ``started.jsonl``; see ``TrialRecord.from_json``."""
        return cls(**_known(cls, value))


@dataclass(frozen=True)
class TrialRecord:
    """One line of ``trials.jsonl``: how a trial went.

    Attributes:
        number: the number in the study, from 0; numbers ascend but may have gaps.
        state: complete, pruned (stopped by a rung or by the user, or never trained) or failed.
        stop_reason: "finished", "early stopping", "rung N" (N epochs), "budget" (it was used up),
            "interrupted", "infeasible" (not trained, as its model breaks a limit or does not fit),
            "diverged", "out of memory", "hang", "worker died" or "error".
        params: every active hyperparameter.
        seed: the trial's own.
        started, ended: seconds since 1970, UTC.
        epochs: results, in order of epochs.
        error: the message of a failure, or which limit is broken; else None.
        parameters: trainable and frozen parameters of the model; None when it was never built.
        ms_per_image: validation time of one image in milliseconds; None when never measured.
        graphs_traced: compiled functions that had to be traced anew for the trial, for training
            and validation together; 0 where the worker had kept all of them, None where unknown.
        gpu_peak_bytes: the most GPU memory that its process held while it trained, graphs of
            earlier trials included; None without a GPU.
        origin: who chose it: "probe" (a linear probe of a pretrained backbone), "start set" (made
            by hand), "warm start" (from an earlier run), "sampler", or "repeat" (a finalist with
            another seed).
        repeat_of: the number of the trial that it repeats.
        memory: "fixed_bytes" and "image_bytes" that were estimated for a training step (see
            ``automl_img.training.costs.Footprint``), and "grown_bytes": how much more its process,
            or on a GPU its allocator, held meanwhile than before, where the system tells; None
            where it was never built, or only its head has trained.
        threads, precision: that it trained with.
        serving: what the exported model costs, where that was asked: "latency_ms", "size_bytes",
            "parameters".
    """

    number: int
    state: TrialState
    stop_reason: str
    params: Params
    seed: int
    started: float
    ended: float
    epochs: tuple[EpochResult, ...] = ()
    error: str | None = None
    parameters: int | None = None
    ms_per_image: float | None = None
    graphs_traced: int | None = None
    gpu_peak_bytes: int | None = None
    origin: Origin = "sampler"
    repeat_of: int | None = None
    memory: dict[str, float] | None = None
    threads: int | None = None
    precision: str | None = None
    serving: dict[str, float] | None = None

    @property
    def best(self) -> EpochResult | None:
        """The epoch with the highest objective; among equals the lowest validation loss."""
        scored = [result for result in self.epochs if result.objective is not None]
        return max(scored, key=lambda result: result.quality, default=None)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; ``from_json`` gives the record back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrialRecord:
        """The record of a line of ``trials.jsonl``; unknown keys of later versions are ignored."""
        kept = _known(cls, value)
        kept["state"] = TrialState(kept["state"])
        kept["epochs"] = tuple(_epoch_from_json(item) for item in kept.get("epochs", ()))
        return cls(**kept)


def _known(cls: Any, value: dict[str, Any]) -> dict[str, Any]:
    known = {field.name for field in dataclasses.fields(cls)}
    return {key: item for key, item in value.items() if key in known}


def reached(epochs: Sequence[EpochResult], first: int | None = None) -> float:
    """The best objective of the ``first`` epochs, or of all; 0 where there is none."""
    return max((result.objective or 0.0 for result in epochs[:first]), default=0.0)


def epochs_since_best(epochs: Sequence[EpochResult]) -> int:
    """How many epochs brought no better objective; 0 where none was validated."""
    scores = [result.objective for result in epochs if result.objective is not None]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def _epoch_from_json(value: dict[str, Any]) -> EpochResult:
    known = {field.name for field in dataclasses.fields(EpochResult)}
    kept = {key: item for key, item in value.items() if key in known}
    # A not-finite loss is null in JSON; it was a NaN or an infinity, and a NaN tells that.
    return EpochResult(**{**kept, "loss": float("nan") if kept["loss"] is None else kept["loss"]})
