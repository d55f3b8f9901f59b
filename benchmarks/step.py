"""What our trainer adds to the epochs of Keras.

Epochs of three models through `Trainer` (images mapped from the disk, shuffled, augmentation in the
graph, validation after each epoch) against bare `model.fit` of the same model, with the same
augmentation, on arrays in memory, with validation data; epoch by epoch in turn, in one process.
Beside it, what was tried to make the step itself faster on this processor, with its ratio to the
step as it is: XLA (`jit_compile`), and several steps an execution.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.data.prepare import Prepared

GOAL = "an epoch through our trainer takes at most 1.02 of one of bare model.fit"
_MOST = 1.02
_ROUNDS = 7
_MODELS = {
    "cnn, 32 px": (32, 300, {"cnn__depth": "3", "cnn__filters": "32"}),
    "cnn, 64 px": (64, 100, {"cnn__depth": "4", "cnn__filters": "16"}),
    "mobilenet_v2, 96 px": (96, 20, {"backbone": "mobilenet_v2", "weights": "none"}),
}
_TYPED = {"batch_size": "32", "augment__strength": "0.5", "optimizer__schedule": "constant"}


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    figures: dict[str, float | int | str | bool] = {}
    ratios = []
    with frame.workspace() as folder:
        for name, (side, per_class, typed) in list(_MODELS.items())[: 1 if short else None]:
            ready, words = trials.images(folder / name, side, 30 if short else per_class)
            times = _compare(ready, folder / name, typed, 3 if short else _ROUNDS)
            ratios.append(times["ours"].over(times["bare"]))
            figures |= {"images": words, **frame.in_ratios(name, times["ours"], times["bare"])}
            if name == next(iter(_MODELS)):
                figures |= _tried(ready, typed, 2 if short else 4)
    frame.finish("step", figures, GOAL, max(ratios) <= _MOST, short)


def _compare(
    ready: Prepared, folder: Path, typed: dict[str, str], rounds: int
) -> dict[str, frame.Times]:
    from automl_img.training.graphs import GraphCache
    from automl_img.training.trainer import Trainer

    spec = trials.spec_of(
        ready, folder, trials.params_of(**{**_TYPED, **typed}), max_epochs=rounds + 2
    )
    ours: Iterator[Any] = Trainer(spec, GraphCache()).epochs()
    model, data = _bare(ready, typed)
    # Both trace in their first epoch.
    return frame.alternate({"ours": lambda: next(ours), "bare": lambda: _fit(model, data)}, rounds)


def _bare(ready: Prepared, typed: dict[str, str]) -> tuple[Any, tuple[Any, ...]]:
    from automl_img.models.hypermodel import ImageClassifier, bind
    from automl_img.models.network import ImageFacts

    facts = ImageFacts(ready.image_size, ready.channels, len(ready.class_names), ready.flips)
    model = ImageClassifier(facts).build(bind(trials.params_of(**{**_TYPED, **typed})))
    x, y, vx, vy = frame.arrays(ready)
    # As many batches as ours: what does not fill one is left out there.
    whole = len(x) // 32 * 32
    return model, (x[:whole], y[:whole], vx, vy)


def _fit(model: Any, data: tuple[Any, ...]) -> None:
    x, y, vx, vy = data
    model.fit(x, y, batch_size=32, validation_data=(vx, vy), validation_batch_size=128, verbose=0)


def _tried(ready: Prepared, typed: dict[str, str], rounds: int) -> dict[str, float]:
    """What could make a step faster, over the step as it is."""
    import keras

    # TensorFlow's affine transform is not made for XLA, so it is left out here on both sides.
    plain = {**typed, "augment__strength": "0"}
    options: dict[str, dict[str, Any]] = {
        "as it is": {},
        "XLA": {"jit_compile": True},
        "8 steps an execution": {"steps_per_execution": 8},
    }
    work = {}
    tracing = {}
    for name, option in options.items():
        model, data = _bare(ready, plain)
        if option:
            model.compile(
                optimizer=keras.optimizers.Adam(3e-3),
                loss=model.loss,
                metrics=["accuracy"],
                **{"jit_compile": False, **option},
            )
        started = time.perf_counter()
        _fit(model, data)
        tracing[name] = time.perf_counter() - started
        work[name] = lambda model=model, data=data: _fit(model, data)
    times = frame.alternate(work, rounds, warmups=0)
    return {
        f"{name}, first epoch and later ones over the step as it is": (
            f"{tracing[name] / tracing['as it is']:.2f} and "
            f"{times[name].over(times['as it is']):.2f}"
        )
        for name in options
        if name != "as it is"
    }


if __name__ == "__main__":
    main()
