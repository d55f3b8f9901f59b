"""What a trial with a frozen backbone costs, the first one and those after it.

Ten epochs of a head on VGG19, ResNet50 and MobileNetV2, frozen as a whole, at 96 pixels and without
augmentation. Ours keeps the features of the backbone; plain `model.fit` of the same model on arrays
in memory runs the backbone in every epoch. A later trial, on a kept graph, is compared with ten
epochs of plain training that was traced before. The first trial computes the features and traces
its graphs; it is compared with the first plain epoch, which traces too. Weights are random. With
fewer images a later trial gains less, as its steps are so short that what is around them counts:
43 times for MobileNetV2 at 800 images for training.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.data.prepare import Prepared
from automl_img.trials import TrialSpec

GOAL = (
    "later trials at least 50 times faster than plain model.fit, the first at most 1.25 times as "
    "long as the first plain epoch"
)
_LEAST = 50.0
_MOST_OF_FIRST = 1.25
_BACKBONES = ("vgg19", "resnet50", "mobilenet_v2")
_SIDE = 96
_EPOCHS = 10
_LATER = 3
_TINY = {"cnn__depth": "1", "cnn__filters": "8", "cnn__convolutions": "1"}


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    figures: dict[str, float | int | str | bool] = {}
    met = True
    with frame.workspace() as folder:
        ready, words = trials.images(folder, _SIDE, 20 if short else 250)
        # What the first model of a process pays alone belongs to neither side.
        _plain_epochs(trials.spec_of(ready, folder / "cnn", trials.params_of(**_TINY)), ready)
        figures |= {"images": words, "for training": len(ready.split.train), "side": _SIDE}
        for name in _BACKBONES[-1:] if short else _BACKBONES:
            measured = _measure(name, ready, folder / name)
            figures |= {f"{name}: {key}": round(value, 2) for key, value in measured.items()}
            met &= measured["plain / later"] >= _LEAST
            met &= measured["first / first plain epoch"] <= _MOST_OF_FIRST
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
    first_plain, plain = _plain_epochs(specs[0], ready)
    graphs = GraphCache()
    first, *later = [_trial(spec, graphs) for spec in specs]
    return {
        "plain / later": _EPOCHS * plain / min(later),
        "plain, seconds an epoch": plain,
        "later, seconds of ten epochs": min(later),
        "first / first plain epoch": first / first_plain,
        "first plain epoch, seconds": first_plain,
        "first, seconds of ten epochs": first,
    }


def _trial(spec: TrialSpec, graphs: Any) -> float:
    """Seconds of the trial."""
    from automl_img.training.trainer import Trainer

    started = time.perf_counter()
    list(Trainer(spec, graphs).epochs())
    return time.perf_counter() - started


def _plain_epochs(spec: TrialSpec, ready: Prepared) -> tuple[float, float]:
    """Seconds of the first epoch of `model.fit` with validation, the building of the model
    included, and of the faster of two later ones."""
    from automl_img.models.hypermodel import ImageClassifier, bind
    from automl_img.models.network import ImageFacts

    x, y, vx, vy = frame.arrays(ready)
    facts = ImageFacts(ready.image_size, ready.channels, len(ready.class_names), ready.flips)
    seconds = []
    started = time.perf_counter()
    model = ImageClassifier(facts, weights=spec.weights).build(bind(spec.params))
    for _ in range(3):
        model.fit(
            x, y, batch_size=32, validation_data=(vx, vy), validation_batch_size=128, verbose=0
        )
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    return seconds[0], min(seconds[1:])


if __name__ == "__main__":
    main()
