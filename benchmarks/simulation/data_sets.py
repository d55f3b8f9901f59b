"""What learning curves are collected from: images, spaces, and weights for the mixed space."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.data.cache import cache_root
from automl_img.files import replacing
from automl_img.space.presets import Preset, find_preset, read_preset

SHARED = frame.FOLDER.parent.parent / "shared" / "data"
_ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
_VEHICLES = ("airplane", "automobile", "ship", "truck")
_PRETRAINED = ("mobilenet_v3_small", "mobilenet_v2")
_MIXED_SIDE = 48
_PRETRAINING_PER_CLASS = 800
_PRETRAINING_EPOCHS = 8
_MOMENTUM = 0.9
# Narrower than the preset cnn, whose largest network takes minutes an epoch on two cores.
_SMALLER = {"cnn.depth": "2..3", "cnn.filters": "8..32:log", "cnn.convolutions": "1..2"}
_MIXED = Preset(
    description="a CNN from scratch and two backbones that we pretrained",
    search={
        "backbone": ["cnn", *_PRETRAINED],
        **_SMALLER,
        "mobilenet_v3_small.frozen_layers": [0, 121, 175],
        "mobilenet_v2.frozen_layers": [0, 116, 154],
        "fine_tune.head_epochs": "0..3",
        "fine_tune.rate_factor": "0.03..0.3:log",
        "head.dropout": "0..0.5",
        "regularization.l2": "1.0e-6..1.0e-3:log",
        "label_smoothing": "0..0.2",
        "optimizer.name": ["adam", "sgd"],
        "optimizer.learning_rate": "1.0e-5..1.0e-1:log",
        "batch_size": [16, 32, 64],
        "augment.strength": [0.25, 0.5, 1],
    },
)


@dataclass(frozen=True)
class Collection:
    """What one file of curves is made from.

    Attributes:
        words: what the images are, for the file.
        images: gives the data for a folder that it may write to.
        settings: of the preparation.
        epochs: of each trial.
        space: the name of the space, for the file.
    """

    words: str
    images: Callable[[Path], str]
    settings: dict[str, Any] = field(default_factory=dict)
    epochs: int = 27
    space: str = "cnn"

    @property
    def preset(self) -> Preset:
        if self.space == "mixed":
            return _MIXED
        preset = read_preset(find_preset(self.space))
        return preset.model_copy(update={"search": {**preset.search, **_SMALLER}})


COLLECTIONS = {
    "digits": Collection(
        "digits of scikit-learn, grey, 15 images a class for training",
        lambda folder: _digits(folder, 15, 100),
    ),
    "cifar10": Collection(
        "CIFAR-10, 50 images a class for training",
        lambda folder: _cifar10(folder, (*_ANIMALS, *_VEHICLES), 50, 50),
        {"image_size": 16},
        epochs=18,
    ),
    "animals": Collection(
        "CIFAR-10, six animals, grey, 30 images a class for training",
        lambda folder: _cifar10(folder, _ANIMALS, 30, 50, grey=True),
        {"image_size": 20},
    ),
    "vehicles": Collection(
        "CIFAR-10, four vehicles, 50 images a class for training",
        lambda folder: _cifar10(folder, _VEHICLES, 50, 60),
        {"image_size": _MIXED_SIDE},
        epochs=18,
        space="mixed",
    ),
    "grocery": Collection(
        "Grocery Store Dataset, coarse classes, at most 12 images a class for training",
        lambda folder: str(SHARED / "grocery.zip"),
        {"image_size": _MIXED_SIDE, "label_column": "coarse_label", "limit_per_class": 12},
        epochs=18,
        space="mixed",
    ),
}


def _digits(folder: Path, train: int, validation: int) -> str:
    """Folders of the built-in digits: so many images a class for training and validation."""
    from PIL import Image
    from sklearn.datasets import load_digits

    into = folder / "digits"
    data = load_digits()
    seen = [0] * 10
    for image, label in zip(data.images, data.target.tolist(), strict=True):
        number = seen[label]
        seen[label] += 1
        part = "train" if number < train else "val" if number < train + validation else "test"
        (into / part / str(label)).mkdir(parents=True, exist_ok=True)
        pixels = (image * 255 / 16).round().astype("uint8")
        Image.fromarray(pixels).save(into / part / str(label) / f"{number}.png")
    return str(into)


def _cifar10(
    folder: Path, classes: Sequence[str], train: int, validation: int, grey: bool = False
) -> str:
    """Folders of CIFAR-10: so many images a class for training and validation, two for the test."""
    from PIL import Image

    into = folder / f"cifar10-{len(classes)}-{train}{'-grey' * grey}"
    with zipfile.ZipFile(SHARED / "cifar10.zip") as archive:
        for name in archive.namelist():
            split, label, file = name.split("/")[1:]
            number = int(file.partition(".")[0])
            part = "train" if number < train else "val" if number < train + validation else ""
            part = part if split == "train" else "test" if number < 2 else ""
            if label in classes and part:
                (into / part / label).mkdir(parents=True, exist_ok=True)
                image = Image.open(io.BytesIO(archive.read(name)))
                image.convert("L" if grey else "RGB").save(into / part / label / f"{number}.png")
    return str(into)


def weights_of_mixed(folder: Path) -> dict[str, str]:
    """The weights file of each backbone of the mixed space, made where it is missing."""
    found = {}
    for name in _PRETRAINED:
        path = cache_root() / "collect" / f"{name}-animals-{_MIXED_SIDE}.weights.h5"
        if not path.exists():
            with replacing(path) as temporary:
                # Keras wants the name that it knows weights by.
                own = temporary.with_name(f"{temporary.stem}.weights.h5")
                _pretrain(name, folder, own)
                own.replace(temporary)
        found[name] = str(path)
    return found


def _pretrain(name: str, folder: Path, path: Path) -> None:
    """Train the backbone ``name`` from scratch on the animals of CIFAR-10, and save its weights."""
    import keras

    from automl_img.models.network import copy_weights
    from automl_img.models.pretrained import application
    from automl_img.models.weights import find_variant
    from automl_img.training.trainer import Trainer

    data = frame.Images(_cifar10(folder, _ANIMALS, _PRETRAINING_PER_CLASS, 50), "CIFAR-10")
    ready = frame.prepared(data, image_size=_MIXED_SIDE)
    rate, strength = "2e-3", "0.25"
    params = trials.params_of(
        backbone=name, weights="none", optimizer__learning_rate=rate, augment__strength=strength
    )
    spec = trials.spec_of(
        ready, folder / f"pretrain-{name}", params, max_epochs=_PRETRAINING_EPOCHS
    )
    trainer = Trainer(dataclasses.replace(spec, seed=1))
    # The averages of these networks settle over thousands of steps, and there are hundreds.
    for layer in trainer.model.trained[0].layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _MOMENTUM
    for result in trainer.epochs():
        print(f"{name}: epoch {result.epoch}, {result.val_accuracy:.3f}", flush=True)
    variant = find_variant(name)
    assert variant is not None
    network = application(variant, _MIXED_SIDE)
    copy_weights(trainer.model.trained[0], network)
    network.save_weights(path)
