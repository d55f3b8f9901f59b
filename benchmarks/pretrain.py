"""How good the small backbone is that this script pretrains, by a linear probe, against random
weights.

`versus.py` needs weights on its transfer track, and ImageNet's can't be had everywhere. So a
MobileNetV3Small learns CIFAR-10's training images: first at 32 pixels, then enlarged to 64, since
small images are cheap and the layers do not care. What transfers is what decides here, so the loss
is plain cross-entropy, as label smoothing makes features that transfer less
(https://arxiv.org/abs/2010.16402), and a projector between backbone and classes, which is thrown
away, keeps the features from collapsing to ten (https://arxiv.org/abs/2112.00496). Its weights go
to the cache folder under the name of the ImageNet file, where `--weights-dir` finds them. What each
epoch reached is kept there too: a run that is cut short goes on where it was, and one that is done
only measures. The probe is a logistic regression on the pooled features of the grocery images at 96
pixels, for the validation images of the transfer track with seed 0; the test images stay untouched.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import frame
import numpy as np
from contest.tracks import PRETRAINED, SHARED, SMALL, TRACKS, Track, data_of

from automl_img.data.cache import cache_root
from automl_img.data.listing import is_image_name
from automl_img.files import replacing, write_json
from automl_img.models.pretrained import Variant
from automl_img.models.weights import find_variant
from automl_img.trials import Params

GOAL = "a linear probe on the grocery images at least 0.1 more accurate than with random weights"
_LEAST = 0.1
_PROGRESS = "progress.json"
# What follows it is no continuation of an earlier one.
_RECIPE = "projector"
_CLASSES = 10
_BATCH = 128
_RATE, _DECAY = 2e-3, 2e-2
# Of batch normalisation; Keras's 0.999 is for far more steps than there are here.
_MOMENTUM = 0.99
# Units of the projector.
_PROJECTED = 512
# Of the training images, for the accuracy that is reported.
_VALIDATION = 2_500
_AUGMENTATION: Params = {"augment.strength": 0.5, "augment.crop": 0.3}


@dataclass(frozen=True)
class Stage:
    """Epochs at one size: up to ``until``, counted from the beginning of all; side in pixels."""

    until: int
    side: int


FULL = (Stage(8, 32), Stage(12, 64))
SHORT = (Stage(1, 32), Stage(2, 64))


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    if not short and not (SHARED / "cifar10.zip").exists():
        frame.cannot_run("pretrain", GOAL, "../shared/data is missing")
        return
    with frame.workspace() as folder:
        into = folder / "weights" if short else weights_folder()
        x, y = _small_images(folder) if short else _cifar10()
        history = pretrain(x, y, into, SHORT if short else FULL)
        probes = _probes(SMALL if short else TRACKS["transfer"], weights_file(into), folder)
    gain = probes["pretrained"] - probes["random"]
    figures: dict[str, float | int | str | bool] = {
        "backbone": PRETRAINED,
        "images": len(x),
        "epochs": len(history),
        "minutes": round(sum(line["seconds"] for line in history) / 60, 1),
        "accuracy on what it was pretrained on": round(history[-1]["val_accuracy"], 4),
        "linear probe, pretrained": round(probes["pretrained"], 4),
        "linear probe, random weights": round(probes["random"], 4),
    }
    frame.finish("pretrain", figures, GOAL, gain >= _LEAST, short)


def weights_folder() -> Path:
    """Where the weights are once they were pretrained; what ``--weights-dir`` takes."""
    return cache_root() / "pretrained" / f"cifar10-{_RECIPE}"


def weights_file(folder: Path) -> Path:
    """The weights in ``folder``, named as ImageNet's are."""
    return folder / _variant().weights_file


def is_done(folder: Path) -> bool:
    """Whether the weights in ``folder`` were trained to the last epoch."""
    return len(_history(folder)) >= FULL[-1].until and weights_file(folder).exists()


def pretrain(
    x: np.ndarray, y: np.ndarray, into: Path, stages: Sequence[Stage]
) -> list[dict[str, float]]:
    """Train what is left of ``stages``; the weights are in ``into`` when this returns.

    Args:
        x: uint8 (images, 32, 32, 3).
        y: int64 (images,), in [0, 10).

    Returns:
        A line for each epoch, those of earlier runs included: "val_accuracy" and "seconds".
    """
    import keras

    state = into / "state.weights.h5"
    into.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(len(x))
    last = min(_VALIDATION, len(x) // 5)
    train, held_out = order[last:], order[:last]
    history = _history(into)
    for stage in stages:
        if len(history) >= stage.until and weights_file(into).exists():
            continue
        keras.backend.clear_session()
        keras.utils.set_random_seed(len(history))
        model, backbone = _classifier(stage.side)
        if history:
            model.load_weights(state)
        for epoch in range(len(history), stage.until):
            started = time.perf_counter()
            model.optimizer.learning_rate = _rate(epoch, stages[-1].until)
            fitted = model.fit(x[train], y[train], batch_size=_BATCH, epochs=1, verbose=0)
            _, accuracy = model.evaluate(x[held_out], y[held_out], verbose=0)
            history.append({"val_accuracy": accuracy, "seconds": time.perf_counter() - started})
            # The name of a temporary file would not end as Keras wants it.
            model.save_weights(into / "next.weights.h5")
            (into / "next.weights.h5").replace(state)
            write_json(into / _PROGRESS, history)
            [learnt] = fitted.history["sparse_categorical_accuracy"]
            words = f"epoch {epoch + 1}, {stage.side} px: {learnt:.3f} in training"
            print(f"{words}, {accuracy:.3f} on held-out images", flush=True)
        # The form of the ImageNet files, which Keras still writes and reads by its public API.
        with replacing(weights_file(into)) as temporary:
            backbone.save(temporary)
    return history


def _history(folder: Path) -> list[dict[str, float]]:
    path = folder / _PROGRESS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _classifier(side: int) -> tuple[Any, Any]:
    """(model, backbone): from uint8 images of 32 pixels to logits; enlarged to ``side``."""
    import keras
    from keras import layers

    from automl_img.models.augment import amounts, augmentation
    from automl_img.models.pretrained import application, preprocess

    images = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Rescaling(1.0)(images)
    x = augmentation(amounts(_AUGMENTATION, flips=True, channels=3))(x)
    backbone = application(_variant(), side)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    x = layers.GlobalAveragePooling2D()(backbone(preprocess(x, _variant(), side)))
    x = layers.BatchNormalization(momentum=_MOMENTUM)(layers.Dense(_PROJECTED, use_bias=False)(x))
    model = keras.Model(images, layers.Dense(_CLASSES)(layers.ReLU()(x)))
    model.compile(
        optimizer=keras.optimizers.AdamW(_RATE, weight_decay=_DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["sparse_categorical_accuracy"],
        jit_compile=False,
    )
    # Else a state that is loaded finds no place for what the optimizer has averaged.
    model.optimizer.build(model.trainable_variables)
    return model, backbone


def _rate(epoch: int, epochs: int) -> float:
    """One epoch of warm-up, then a cosine to near zero."""
    if epoch == 0:
        return _RATE / 4
    return float(_RATE * 0.5 * (1 + np.cos(np.pi * (epoch - 0.5) / (epochs - 1))))


def _probes(track: Track, weights: Path, folder: Path) -> dict[str, float]:
    """Validation accuracy of a linear probe with the weights, and with random ones."""
    data = data_of(track, 0, folder / "probe")
    with np.load(data.arrays) as arrays:
        x, y, vx, vy = (arrays[name] for name in ("x", "y", "vx", "vy"))
    return {
        "pretrained": _probe(x, y, vx, vy, weights),
        "random": _probe(x, y, vx, vy, None),
    }


def _probe(
    x: np.ndarray, y: np.ndarray, vx: np.ndarray, vy: np.ndarray, weights: Path | None
) -> float:
    import keras
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from automl_img.models.pretrained import application, load_weights, preprocess

    keras.utils.set_random_seed(0)
    side = x.shape[1]
    network = application(_variant(), side)
    if weights is not None:
        load_weights(network, weights, PRETRAINED)
    images = keras.Input(x.shape[1:], dtype="uint8")
    features = network(preprocess(keras.layers.Rescaling(1.0)(images), _variant(), side))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(features))
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    probe.fit(model.predict(x, verbose=0), y)
    return float(probe.score(model.predict(vx, verbose=0), vy))


def _cifar10() -> tuple[np.ndarray, np.ndarray]:
    """The 50,000 training images and their labels."""
    from PIL import Image

    with zipfile.ZipFile(SHARED / "cifar10.zip") as archive:
        names = [name for name in sorted(archive.namelist()) if "/train/" in name]
        names = [name for name in names if is_image_name(name)]
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    classes = [name.split("/")[2] for name in names]
    _, labels = np.unique(classes, return_inverse=True)
    return np.stack(images), labels


def _small_images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A few images, to see that it works."""
    x, y, _, _ = frame.arrays(frame.prepared(frame.small_images(folder, 30)))
    return x, y


def _variant() -> Variant:
    variant = find_variant(PRETRAINED)
    assert variant is not None
    return variant


if __name__ == "__main__":
    main()
