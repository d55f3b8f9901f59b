"""What a trial with a frozen backbone costs, the first one and those after it.

Ten epochs of a head on VGG19, ResNet50 and MobileNetV2, frozen as a whole, at 96 pixels and without
augmentation. Ours keeps the features of the backbone; plain `model.fit` of the same model on arrays
in memory runs the backbone in every epoch. One plain epoch is timed after one that
traces, and ten count ten times as much. The first trial of ours computes the features; it may cost
one plain epoch and a bit: half of one more, and the tracing of its own graphs. Weights are random.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.data.prepare import Prepared
from automl_img.trials import TrialSpec

GOAL = (
    "later trials at least 50 times faster than plain model.fit, the first at most 1.5 plain "
    "epochs and the tracing"
)
_LEAST = 50.0
_MOST_EPOCHS = 1.5
_BACKBONES = ("vgg19", "resnet50", "mobilenet_v2")
_SIDE = 96
_EPOCHS = 10
_LATER = 3


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    figures: dict[str, float | int | str | bool] = {}
    met = True
    with frame.workspace() as folder:
        ready, words = trials.images(folder, _SIDE, 20 if short else 100)
        figures |= {"images": words, "for training": len(ready.split.train), "side": _SIDE}
        for name in _BACKBONES[-1:] if short else _BACKBONES:
            measured = _measure(name, ready, folder / name)
            figures |= {f"{name}: {key}": round(value, 2) for key, value in measured.items()}
            met &= measured["plain / later"] >= _LEAST
            met &= measured["first, in plain epochs"] <= _MOST_EPOCHS
    frame.finish("frozen", figures, GOAL, met, short)


def _measure(name: str, ready: Prepared, folder: Path) -> dict[str, float]:
    from automl_img.training.graphs import GraphCache

    folder.mkdir(parents=True)
    weights = trials.random_weights(name, _SIDE, folder)
    typed = {"backbone": name, "weights": weights, "augment__strength": "0", "batch_size": "32"}
    specs = [
        trials.spec_of(
            ready,
            folder / str(place),
            trials.params_of(
                **typed, optimizer__learning_rate=f"1e-{place + 2}", head__dropout="0.2"
            ),
            max_epochs=_EPOCHS,
            weights=weights,
            features=str(folder / "features"),
            feature_bytes=10**10,
        )
        for place in range(1 + _LATER)
    ]
    plain_epoch = _plain_epoch(specs[0], ready)
    graphs = GraphCache()
    first, first_traced = _trial(specs[0], graphs)
    later = [_trial(spec, graphs)[0] for spec in specs[1:]]
    return {
        "plain / later": _EPOCHS * plain_epoch / min(later),
        "plain, seconds an epoch": plain_epoch,
        "first, seconds": first,
        "first, seconds of tracing": first_traced,
        "first, in plain epochs": (first - first_traced) / plain_epoch,
        "later, seconds": min(later),
    }


def _trial(spec: TrialSpec, graphs: Any) -> tuple[float, float]:
    """Seconds of the trial, and of them those of building and tracing: what its first epoch took
    longer than its second."""
    from automl_img.training.trainer import Trainer

    started = time.perf_counter()
    trainer = Trainer(dataclasses.replace(spec), graphs)
    epochs = [result.seconds for result in trainer.epochs()]
    return time.perf_counter() - started, epochs[0] - epochs[1]


def _plain_epoch(spec: TrialSpec, ready: Prepared) -> float:
    """Seconds of an epoch of `model.fit` with validation, on the whole model; the faster of two."""
    from automl_img.models.hypermodel import ImageClassifier, bind
    from automl_img.models.network import ImageFacts

    x, y, vx, vy = frame.arrays(ready)
    facts = ImageFacts(ready.image_size, ready.channels, len(ready.class_names), ready.flips)
    model = ImageClassifier(facts, weights=spec.weights).build(bind(spec.params))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        model.fit(
            x, y, batch_size=32, validation_data=(vx, vy), validation_batch_size=128, verbose=0
        )
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


if __name__ == "__main__":
    main()
