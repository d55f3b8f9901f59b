"""What a trial costs whose compiled graph the worker has kept.

Trials of two epochs in four families, which differ in learning rate, dropout and L2. With the kept
graphs of a worker, from the second trial of a family on, against building each model anew after
`keras.backend.clear_session()`, as KerasTuner does. Both run the same `Trainer` on the same images
in one process, one after the other; their losses must be the same to the bit.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.trials import EpochResult, TrialSpec

GOAL = "trials on kept graphs are at least 4 times faster than rebuilt ones, with the same losses"
_LEAST = 4.0
_FAMILIES = ("cnn", "mobilenet_v2", "efficientnet_v2_b0", "resnet50")
_SIDE = 32
_PER_CLASS = 8
# Of the trials of a family; the first one traces its graph in both cases.
_VALUES = (("1e-3", "0.1", "1e-5"), ("3e-4", "0.3", "1e-4"), ("1e-4", "0.5", "1e-3"))


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    families = _FAMILIES[:2] if short else _FAMILIES
    figures: dict[str, float | int | str | bool] = {}
    kept_seconds = rebuilt_seconds = 0.0
    same = True
    with frame.workspace() as folder:
        ready, words = trials.images(folder, _SIDE, _PER_CLASS)
        figures |= {"images": words, "side": _SIDE, "for training": len(ready.split.train)}
        for family in families:
            specs = _specs(family, ready, folder)
            rebuilt = _rebuilt(specs, folder / family / "rebuilt")
            kept = _kept(specs, folder / family / "kept")
            same &= [losses for _, losses in rebuilt] == [losses for _, losses in kept]
            old, new = (sum(seconds for seconds, _ in each[1:]) for each in (rebuilt, kept))
            kept_seconds, rebuilt_seconds = kept_seconds + new, rebuilt_seconds + old
            figures |= {
                f"{family}: rebuilt / kept": round(old / new, 2),
                f"{family}: rebuilt, seconds a trial": round(old / (len(specs) - 1), 2),
                f"{family}: kept, seconds a trial": round(new / (len(specs) - 1), 2),
            }
    ratio = rebuilt_seconds / kept_seconds
    figures |= {"all families: rebuilt / kept": round(ratio, 2), "same losses": str(same)}
    frame.finish("graphs", figures, GOAL, bool(same and ratio >= _LEAST), short)


def _specs(family: str, ready: Any, folder: Path) -> list[TrialSpec]:
    fixed = {"backbone": family, "batch_size": "16", "optimizer__name": "adam"}
    if family != "cnn":
        fixed["weights"] = "none"
    names = ("optimizer__learning_rate", "head__dropout", "regularization__l2")
    values = [dict(zip(names, each, strict=True)) for each in _VALUES]
    return [
        trials.spec_of(ready, folder / family / str(place), trials.params_of(**fixed, **own))
        for place, own in enumerate(values)
    ]


def _rebuilt(specs: list[TrialSpec], folder: Path) -> list[tuple[float, list[EpochResult]]]:
    import keras

    from automl_img.training.graphs import GraphCache

    found = []
    for place, spec in enumerate(specs):
        keras.backend.clear_session()
        found.append(_timed(spec, GraphCache(), folder / str(place)))
    return found


def _kept(specs: list[TrialSpec], folder: Path) -> list[tuple[float, list[EpochResult]]]:
    from automl_img.training.graphs import GraphCache

    graphs = GraphCache()
    return [_timed(spec, graphs, folder / str(place)) for place, spec in enumerate(specs)]


def _timed(spec: TrialSpec, graphs: Any, folder: Path) -> tuple[float, list[EpochResult]]:
    """Seconds of the trial, and its results without their clock."""
    from automl_img.training.guards import release_memory
    from automl_img.training.trainer import Trainer

    started = time.perf_counter()
    # As a worker does before each trial, when nothing holds the last one any more.
    release_memory()
    trainer = Trainer(dataclasses.replace(spec, folder=str(folder)), graphs)
    results = [dataclasses.replace(result, seconds=0.0) for result in trainer.epochs()]
    return time.perf_counter() - started, results


if __name__ == "__main__":
    main()
