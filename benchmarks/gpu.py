"""What a GPU does with our trials: the step, images a second, and several trials at a time.

Epochs of three models through `Trainer` against a bare Keras loop (`model.fit` of the same model on
arrays in memory), then the same trial in 1, 2 and 4 processes that share the GPU. The share of the
card's peak counts three forward passes a training step, by the floating-point operations that torch
counts in one. Runs on the torch or JAX backend (`KERAS_BACKEND`) or TensorFlow, whichever finds a
GPU; where none does it says so and measures nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.data.prepare import Prepared
from automl_img.search.hardware import gpu_names, gpu_precision

GOAL = "an epoch through our trainer takes at most 1.02 of one of a bare Keras loop on the GPU"
_MOST = 1.02
_MODELS = {
    "cnn, 32 px": (32, {"cnn__depth": "4", "cnn__filters": "64"}),
    "resnet50, 96 px": (96, {"backbone": "resnet50", "weights": "none"}),
    "efficientnet_v2_b0, 96 px": (96, {"backbone": "efficientnet_v2_b0", "weights": "none"}),
}
_TYPED = {"batch_size": "128", "augment__strength": "0", "optimizer__schedule": "constant"}
_TOGETHER = (1, 2, 4)
# Operations a second of dense matrices in bfloat16, by NVIDIA's data sheets.
_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "T4": 65e12}


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "trial":
        _one_of_several(sys.argv[2], Path(sys.argv[3]))
        return
    short = frame.asked_short(__doc__)
    frame.quiet()
    if not gpu_names():
        frame.cannot_run("gpu", GOAL, "this machine has no NVIDIA GPU")
        return
    figures: dict[str, float | int | str | bool] = {
        "gpu": gpu_names()[0],
        "backend": os.environ["KERAS_BACKEND"],
        "precision": gpu_precision(),
    }
    ratios = []
    with frame.workspace() as folder:
        for name in list(_MODELS)[: 1 if short else None]:
            side, typed = _MODELS[name]
            ready, words = trials.images(folder / name, side, 100 if short else 1000)
            measured = _alone(ready, folder / name, typed, 3 if short else 7)
            ratios.append(measured["ours / bare"])
            figures |= {"images": words}
            figures |= {f"{name}: {key}": round(value, 3) for key, value in measured.items()}
            for count in _TOGETHER[: 2 if short else None]:
                rate = _together(count, name, folder)
                figures[f"{name}: images a second, {count} at a time"] = round(rate)
    frame.finish("gpu", figures, GOAL, max(ratios) <= _MOST, short)


def _alone(ready: Prepared, folder: Path, typed: dict[str, str], rounds: int) -> dict[str, float]:
    import keras

    from automl_img.models.hypermodel import ImageClassifier, bind
    from automl_img.models.network import ImageFacts
    from automl_img.training.trainer import Trainer

    params = trials.params_of(**_TYPED, **typed)
    spec = trials.spec_of(ready, folder, params, max_epochs=rounds + 2, precision=gpu_precision())
    trainer = Trainer(spec)
    ours = trainer.epochs()
    keras.config.set_dtype_policy(gpu_precision())
    facts = ImageFacts(ready.image_size, ready.channels, len(ready.class_names), ready.flips)
    model = ImageClassifier(facts).build(bind(params))
    keras.config.set_dtype_policy("float32")
    x, y, vx, vy = frame.arrays(ready)
    whole = len(x) // 128 * 128

    def bare() -> None:
        model.fit(
            x[:whole],
            y[:whole],
            batch_size=128,
            validation_data=(vx, vy),
            validation_batch_size=128,
            verbose=0,
        )

    times = frame.alternate({"ours": lambda: next(ours), "bare": bare}, rounds)
    images = whole / times["ours"].best
    found = {
        "ours / bare": times["ours"].over(times["bare"]),
        "seconds an epoch": times["ours"].best,
        "images a second, validation included": images,
        "milliseconds a step": 1000 * times["ours"].best * 128 / whole,
    }
    peak = next((value for key, value in _PEAKS.items() if key in gpu_names()[0]), None)
    operations = _operations(model, x[:1])
    if peak and operations:
        found["share of the peak"] = 3 * operations * images / peak
    return found


def _operations(model: Any, image: Any) -> int | None:
    """Floating-point operations of a forward pass of one image; only torch counts them."""
    if os.environ["KERAS_BACKEND"] != "torch":
        return None
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(image, training=False)
    return int(counter.get_total_flops())


def _together(count: int, name: str, folder: Path) -> float:
    """Images a second of so many processes with a trial each, from when all have traced theirs.

    Raises:
        RuntimeError: one of them failed.
    """
    together = folder / f"{name}-{count}"
    together.mkdir(parents=True)
    processes = [
        subprocess.Popen(
            frame.python(Path(__file__), "trial", name, together / f"{place}-of-{count}"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for place in range(count)
    ]
    printed = [each.communicate()[0].splitlines() for each in processes]
    if any(each.returncode for each in processes):
        raise RuntimeError(f"one of {count} trials of {name} failed")
    return float(sum(json.loads(lines[-1]) for lines in printed))


def _one_of_several(name: str, folder: Path) -> None:
    """One trial in this process; prints its images a second."""
    frame.quiet()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from automl_img.training.trainer import Trainer

    side, typed = _MODELS[name]
    ready, _ = trials.images(folder, side, 300)
    params = trials.params_of(**_TYPED, **typed)
    spec = trials.spec_of(ready, folder, params, max_epochs=8, precision=gpu_precision())
    started, seen = 0.0, 0
    for result in Trainer(spec).epochs():
        if result.epoch > 1:
            seen += len(ready.split.train) // 128 * 128
        else:
            # The others may still be tracing: all begin to count together.
            (folder / "traced").touch()
            count = int(folder.name.rpartition("-")[2])
            while len(list(folder.parent.glob("*/traced"))) < count:
                time.sleep(0.01)
            started = time.perf_counter()
    print(seen / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
