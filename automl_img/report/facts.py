"""Parts of ``run.json``, ``winner.json`` and ``test.json`` as values; what is missing is empty."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from automl_img.metrics import NAMES
from automl_img.runs import Predictions
from automl_img.trials import EpochResult, Params

SPLITS = ("train", "validation", "test")


def known_epochs(epochs: Any) -> list[dict[str, Any]]:
    """Arguments of EpochResult: unknown keys of later versions dropped, numbers not told as NaN."""
    kept = []
    for epoch in epochs or ():
        always = {
            name: math.nan if epoch.get(name) is None else float(epoch[name])
            for name in ("loss", "accuracy", "seconds", "learning_rate")
        }
        validation = {name: epoch.get(name) for name in ("val_loss", "val_accuracy", "score")}
        kept.append({"epoch": int(epoch["epoch"]), **always, **validation})
    return kept


@dataclass(frozen=True)
class Data:
    """The images: where they came from, their classes, and how many there are in each split.

    Attributes:
        multi_label: whether an image may have several classes.
        audit: severity and sentence of what was found of them, the worst first.
    """

    source: str = ""
    kind: str = ""
    class_names: tuple[str, ...] = ()
    multi_label: bool = False
    image_size: int | None = None
    channels: int | None = None
    splits: dict[str, int] = field(default_factory=dict)
    class_counts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    fingerprint: str = ""
    left_out: int = 0
    audit: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, value: dict[str, Any]) -> Data:
        counts = value.get("class_counts") or {}
        return cls(
            source=str(value.get("source") or ""),
            kind=str(value.get("kind") or ""),
            class_names=tuple(str(name) for name in value.get("class_names") or ()),
            multi_label=value.get("multi_label") is True,
            image_size=value.get("image_size"),
            channels=value.get("channels"),
            splits={key: int(n) for key, n in (value.get("splits") or {}).items() if n is not None},
            class_counts={key: tuple(int(n) for n in row) for key, row in counts.items()},
            fingerprint=str(value.get("fingerprint") or ""),
            left_out=int(value.get("left_out") or 0),
            audit=tuple(
                (str(each.get("severity") or ""), str(each.get("sentence") or ""))
                for each in value.get("audit") or ()
            ),
        )


@dataclass(frozen=True)
class Dimension:
    """One searched hyperparameter; ``when`` maps a parent to the values that make this active."""

    name: str
    kind: str
    low: float | None
    high: float | None
    log: bool
    options: tuple[Any, ...]
    when: dict[str, tuple[Any, ...]]

    @property
    def numeric(self) -> bool:
        return self.low is not None and self.high is not None and not self.options

    @classmethod
    def read(cls, value: dict[str, Any]) -> Dimension:
        when = value.get("when") or {}
        return cls(
            name=str(value["name"]),
            kind=str(value.get("kind") or ""),
            low=value.get("low"),
            high=value.get("high"),
            log=bool(value.get("log")),
            options=tuple(value.get("options") or ()),
            when={str(key): tuple(options) for key, options in when.items()},
        )

    def position(self, value: Any) -> float | None:
        """Where ``value`` lies in the range, 0 to 1, on the scale it was searched on."""
        if self.options:
            where = self.options.index(value) if value in self.options else None
            return None if where is None else where / max(1, len(self.options) - 1)
        if not self.numeric or isinstance(value, (str, bool)) or value is None:
            return None
        low, high, own = float(self.low or 0), float(self.high or 0), float(value)
        if self.log and min(low, high, own) > 0:
            low, high, own = math.log(low), math.log(high), math.log(own)
        return 0.5 if high <= low else (own - low) / (high - low)


@dataclass(frozen=True)
class Search:
    """What was asked of the search."""

    budget: int | None = None
    allowed: str = ""
    max_epochs: int | None = None
    sampler: str = ""
    space: str = ""
    reduction_factor: int | None = None
    rungs: tuple[int, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    objectives: tuple[str, ...] = ()

    @property
    def measure(self) -> str:
        """What its trials are compared by, "validation accuracy"."""
        scores = [NAMES[name] for name in self.objectives if name in NAMES]
        return f"validation {[*scores, NAMES['val_accuracy']][0]}"

    @classmethod
    def read(cls, value: dict[str, Any]) -> Search:
        dimensions = [item for item in value.get("dimensions") or () if item.get("name")]
        return cls(
            budget=value.get("budget"),
            allowed=str(value.get("allowed") or ""),
            max_epochs=value.get("max_epochs"),
            sampler=str(value.get("sampler") or ""),
            space=str(value.get("space") or ""),
            reduction_factor=value.get("reduction_factor"),
            rungs=tuple(int(rung) for rung in value.get("rungs") or ()),
            dimensions=tuple(Dimension.read(item) for item in dimensions),
            objectives=tuple(map(str, value.get("objectives") or ())),
        )


@dataclass(frozen=True)
class Winner:
    """The winning trial, trained again on training and validation images.

    Attributes:
        retrained: False where there was no time for that, so that it is the model of its trial.
        reason: why it won, to follow "as"; empty where that was not recorded.
        scores: what each seed reached on the validation images, by the number of the trial.
        serving: what the exported model costs, where that was measured.
    """

    number: int
    params: Params
    epochs: int | None = None
    validation_accuracy: float | None = None
    parameters: int | None = None
    ms_per_image: float | None = None
    history: tuple[EpochResult, ...] = ()
    retrained: bool = True
    reason: str = ""
    scores: dict[int, tuple[float, ...]] = field(default_factory=dict)
    serving: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, value: dict[str, Any]) -> Winner:
        return cls(
            number=int(value["number"]),
            params=dict(value.get("params") or {}),
            epochs=value.get("epochs"),
            validation_accuracy=value.get("validation_accuracy"),
            parameters=value.get("parameters"),
            ms_per_image=value.get("ms_per_image"),
            history=tuple(EpochResult(**epoch) for epoch in known_epochs(value.get("history"))),
            retrained=value.get("retrained") is not False,
            reason=str(value.get("reason") or ""),
            scores={
                int(number): tuple(map(float, each))
                for number, each in (value.get("scores") or {}).items()
            },
            serving={name: float(n) for name, n in (value.get("serving") or {}).items()},
        )


@dataclass(frozen=True)
class Scores:
    """``test.json``, whose values are read by name; ``values`` is the whole of it.

    Attributes:
        thresholds: from which probability on each class is said to be there, float64 (classes,),
            where images may have several; None where they have one.
    """

    images: int
    correct: int
    accuracy: float
    interval: tuple[float, float]
    class_names: tuple[str, ...]
    values: dict[str, Any]
    thresholds: np.ndarray | None = None

    @classmethod
    def read(cls, value: dict[str, Any]) -> Scores:
        """
        Raises:
            Exception: of any kind, where values are not those of a test.
        """
        from automl_img.report.statistics import wilson

        images, accuracy = int(value["images"]), float(value["accuracy"])
        correct = int(value.get("correct", round(accuracy * images)))
        low, high = value.get("accuracy_interval") or wilson(correct, images)
        names = value.get("classes") or [row["name"] for row in value.get("per_class") or ()]
        thresholds = value.get("thresholds")
        if thresholds is not None:
            thresholds = np.array([float(each) for each in thresholds])
            if len(thresholds) != len(names) or not np.isfinite(thresholds).all():
                raise ValueError("each class must have a threshold that is a number")
        class_names = tuple(map(str, names))
        return cls(images, correct, accuracy, (low, high), class_names, value, thresholds)

    def number(self, name: str) -> float | None:
        """The score ``name``; None where it is missing or not defined."""
        value = self.values.get(name)
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None

    def confusion(self) -> np.ndarray | None:
        """int64, shape (classes, classes), true by predicted; None where it was not recorded."""
        rows, cells = self.values.get("confusion"), self.values.get("confusion_cells")
        if rows:
            return np.array(rows, dtype=np.int64)
        if not cells:
            return None
        counts = np.zeros((len(self.class_names),) * 2, dtype=np.int64)
        for true, predicted, images in cells:
            counts[true, predicted] = images
        return counts

    def bounds(self, name: str) -> tuple[float, float] | None:
        """The interval of the score ``name``."""
        found = self.values.get(f"{name}_interval")
        return (float(found[0]), float(found[1])) if found else None


@dataclass(frozen=True)
class Ensemble:
    """``ensemble.json``, with what it predicted.

    Attributes:
        members: (number of the trial, its weight).
        test: scores on the test images.
        predictions: of the test images.
    """

    members: tuple[tuple[int, float], ...]
    test: Scores
    predictions: Predictions | None

    @classmethod
    def read(cls, value: dict[str, Any], predictions: Predictions | None) -> Ensemble:
        members = tuple((int(item["number"]), float(item["weight"])) for item in value["members"])
        return cls(members, Scores.read(value["test"]), predictions)
