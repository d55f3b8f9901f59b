"""Tiny run folders, written as a search writes them, from a seed and in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from automl_img.evaluation.gallery import choose, write_thumbnails
from automl_img.evaluation.label_errors import suspected_labels
from automl_img.evaluation.scores import score
from automl_img.metrics import confidence, right
from automl_img.runs import Predictions, Run, create_run
from automl_img.trials import EpochResult, Params, TrialRecord, TrialState

STARTED = 1_760_000_000.0
DIMENSIONS: list[dict[str, Any]] = [
    {"name": "optimizer.learning_rate", "kind": "float", "low": 1e-4, "high": 1e-1, "log": True},
    {"name": "batch_size", "kind": "choice", "options": [16, 32, 64]},
    {"name": "cnn.filters", "kind": "int", "low": 8, "high": 64, "when": {"backbone": ["cnn"]}},
    {"name": "head.dropout", "kind": "float", "low": 0.0, "high": 0.6},
    {"name": "optimizer.name", "kind": "choice", "options": ["adam", "sgd"]},
]
_ABSENT = {"low": None, "high": None, "log": False, "options": None, "when": None}


def golden_run(
    folder: Path,
    *,
    classes: int = 3,
    trials: int = 20,
    images: int = 120,
    names: tuple[str, ...] | None = None,
    file_name: str = "{label}/{row:04d}.png",
    failed: int = 1,
    error: str = "ResourceExhaustedError: out of memory",
    pruning: bool = True,
    thumbnails: bool = True,
    tested: bool = True,
    absent_class: int | None = None,
    nan_losses: bool = False,
    skill: float = 2.5,
    command: str = "automl-img search digits --budget 20",
    name: str = "golden",
) -> Run:
    """A finished run folder in ``folder``; the keywords spoil it in one way each."""
    rng = np.random.default_rng(7)
    class_names = names or tuple(f"class {i}" for i in range(classes))
    records = [
        _record(number, rng, pruning=pruning, nan_losses=nan_losses) for number in range(trials)
    ]
    for number in range(min(failed, trials)):
        records[number] = _failed(records[number], error)
    run = create_run(folder, name, _info(class_names, images, trials, command, tested))
    for record in records:
        run.append_trial(record)
    usable = [r for r in records if r.best is not None and r.state is TrialState.COMPLETE]
    if not usable:
        return run
    _finalists(run, sorted(usable, key=_accuracy, reverse=True)[:5], images, classes, rng)
    if tested:
        _winner(run, max(usable, key=_accuracy), rng)
        _test(run, class_names, images, absent_class, file_name, skill, thumbnails, rng)
    return run


def predictions(
    classes: int, images: int, skill: float, rng: np.random.Generator, absent: int | None = None
) -> Predictions:
    """Labels and softmax probabilities that are right the more often, the higher ``skill`` is."""
    labels = np.arange(images) % classes
    if absent is not None:
        labels[labels == absent] = (absent + 1) % classes
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), labels] += skill
    odds = np.exp(logits)
    return Predictions(labels, odds / odds.sum(axis=1, keepdims=True), ("",) * images)


def _record(
    number: int, rng: np.random.Generator, *, pruning: bool, nan_losses: bool
) -> TrialRecord:
    params: Params = {
        "backbone": "cnn",
        "optimizer.learning_rate": float(10 ** rng.uniform(-4, -1)),
        "batch_size": int(rng.choice([16, 32, 64])),
        "cnn.filters": int(rng.integers(8, 65)),
        "head.dropout": float(rng.uniform(0, 0.6)),
        "optimizer.name": str(rng.choice(["adam", "sgd"])),
    }
    off = abs(np.log10(params["optimizer.learning_rate"]) + 2.5)
    top = 0.95 - 0.2 * off
    length = int(rng.choice([3, 9, 18], p=[0.4, 0.25, 0.35])) if pruning and number % 5 else 18
    epochs = tuple(_epoch(epoch, top, rng, nan_losses) for epoch in range(1, length + 1))
    stopped = length < 18
    start = STARTED + 60.0 * (number // 2)
    return TrialRecord(
        number=number,
        state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
        stop_reason=f"rung {length}" if stopped else "finished",
        params=params,
        seed=number,
        started=start,
        ended=start + 3.0 * length,
        epochs=epochs,
        parameters=int(params["cnn.filters"]) * 1000,
        ms_per_image=0.4,
        graphs_traced=0 if number % 4 else 2,
    )


def _epoch(epoch: int, top: float, rng: np.random.Generator, nan_losses: bool) -> EpochResult:
    reached = float(np.clip(top * (1 - np.exp(-epoch / 4)) + rng.normal(0, 0.01), 0.05, 1.0))
    loss = float("nan") if nan_losses else 2.5 * (1 - reached) + 0.02 * max(0, epoch - 12)
    return EpochResult(epoch, loss, min(1.0, reached + 0.02), loss, reached, 3.0, 0.001)


def _failed(record: TrialRecord, error: str) -> TrialRecord:
    return TrialRecord(
        number=record.number,
        state=TrialState.FAILED,
        stop_reason="out of memory",
        params=record.params,
        seed=record.seed,
        started=record.started,
        ended=record.started + 1,
        error=error,
    )


def _accuracy(record: TrialRecord) -> float:
    return (record.best.val_accuracy or 0.0) if record.best else -1.0


def _info(
    names: tuple[str, ...], images: int, trials: int, command: str, tested: bool
) -> dict[str, Any]:
    each = max(1, images // len(names))
    splits = {"train": 5 * each, "validation": each, "test": each}
    return {
        "format": 1,
        "name": "golden",
        "command": command,
        "started": STARTED,
        "finished": STARTED + 900 if tested else None,
        "status": "finished" if tested else "interrupted",
        "settings": {"budget": trials},
        "seed": 0,
        "versions": {"python": "3.11.2", "automl-img": "0.1.0", "keras": "3.13.1"},
        "hardware": {
            "cpu": "Example CPU",
            "cores": 2,
            "memory_gb": 8.0,
            "gpus": [],
            "workers": 2,
            "threads_per_worker": 1,
        },
        "data": {
            "source": "digits",
            "kind": "builtin",
            "class_names": list(names),
            "image_size": 8,
            "channels": 1,
            "splits": {split: each_one * len(names) for split, each_one in splits.items()},
            "class_counts": {split: [n] * len(names) for split, n in splits.items()},
            "fingerprint": "0123456789abcdef",
            "left_out": 0,
            "flips": False,
        },
        "search": {
            "budget": trials,
            "max_epochs": 18,
            "sampler": "tpe",
            "space": "cnn",
            "reduction_factor": 3,
            "rungs": [3, 9],
            "dimensions": [{**_ABSENT, **dimension} for dimension in DIMENSIONS],
        },
        "seconds": {"prepare": 1.0, "search": 800.0, "retrain": 60.0, "test": 1.0},
    }


def _finalists(
    run: Run, best: list[TrialRecord], images: int, classes: int, rng: np.random.Generator
) -> None:
    for record in best:
        found = predictions(classes, images, 2.5, rng)
        run.write_predictions(f"trial-{record.number:05d}", found)


def _winner(run: Run, record: TrialRecord, rng: np.random.Generator) -> None:
    history = [
        {**vars(_epoch(epoch, 0.97, rng, False)), "val_loss": None, "val_accuracy": None}
        for epoch in range(1, 19)
    ]
    run.write_json(
        "winner.json",
        {
            "number": record.number,
            "params": record.params,
            "epochs": 18,
            "validation_accuracy": _accuracy(record),
            "parameters": record.parameters,
            "ms_per_image": 0.4,
            "history": history,
        },
    )


def _test(
    run: Run,
    names: tuple[str, ...],
    images: int,
    absent: int | None,
    file_name: str,
    skill: float,
    thumbnails: bool,
    rng: np.random.Generator,
) -> None:
    found = predictions(len(names), images, skill, rng, absent)
    files = tuple(file_name.format(label=i, row=row) for row, i in enumerate(found.labels.tolist()))
    found = Predictions(found.labels, found.probabilities, files)
    run.write_predictions("test", found)
    run.write_json("test.json", score(found.labels, found.probabilities, names))
    run.write_json("label_errors.json", suspected_labels({"test": [found]}))
    if thumbnails:
        pixels = rng.integers(0, 255, (images, 8, 8, 1)).astype(np.uint8)
        sure = confidence(found.probabilities, found.labels)
        ones = right(found.probabilities, found.labels)
        write_thumbnails(run, pixels, choose(ones, sure, seed=0, most=24))
