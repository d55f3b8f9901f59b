"""The honest baseline: a user who does not search, and trains one sensible network.

From scratch: the network of our HyperModel with depth 3 and 32 filters, batch normalisation, Adam
at 3e-3 along a cosine. With weights: as Keras's guide to transfer learning and fine-tuning does it
(https://keras.io/guides/transfer_learning/): a linear head on the frozen network for a third of the
time, then all of it at a low rate, batch normalisation in inference mode throughout. It trains for
the whole time, so that its epochs are not counted and the cosine ends with the time. Its numbers
were chosen before the first cell was run. The best epoch by validation stays on the disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.files import replacing
from automl_img.trials import Params
from contest.start import command
from contest.task import PREDICTIONS, System, Task
from contest.tracks import PRETRAINED, find_track

if TYPE_CHECKING:
    from contest.fitting import Arrays

NAME = "one sensible default"
_POINT: Params = {
    "backbone": "cnn",
    "cnn.depth": 3,
    "cnn.filters": 32,
    "cnn.kernel_size": 3,
    "cnn.convolutions": 2,
    "cnn.batch_normalization": True,
    "head.pooling": "max",
    "head.dropout": 0.1,
    "regularization.l2": 0.0,
    "label_smoothing": 0.0,
    "optimizer.name": "adam",
    "optimizer.learning_rate": 3e-3,
    "optimizer.schedule": "cosine",
    "batch_size": 64,
    "augment.strength": 0.25,
}
# Of the guide: Adam's own rate for the head, 1e-5 for the whole.
_HEAD_RATE, _RATE = 1e-3, 1e-5
# Of the time, for the head alone.
_HEAD = 1 / 3
_BATCH = 32
# More than there is time for.
_EPOCHS = 1000
_MODEL = "best.keras"


def train(task: Task) -> None:
    """Train once, and end."""
    from contest.fitting import load

    data = load(task)
    if find_track(task.track).pretrained:
        _transfer(task, data)
    else:
        _from_scratch(task, data)


def _from_scratch(task: Task, data: Arrays) -> None:
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import Preset, build_space
    from contest.fitting import Clock, KeepBest, Progress, build, fit

    everything = build_space("default", Preset(), declared(), {}, {})
    params = {**everything.nearest(_POINT), **_POINT}
    params["early_stopping.patience"] = _EPOCHS
    callbacks = [
        Progress(task),
        KeepBest(Path(task.folder) / "best", params),
        Clock(task, float(params["optimizer.learning_rate"])),
    ]
    fit(build(task, params), params, task, data, _EPOCHS, callbacks)


def _transfer(task: Task, data: Arrays) -> None:
    import keras
    from keras import layers

    from automl_img.models.pretrained import application, load_weights, preprocess
    from automl_img.models.weights import find_variant, imagenet
    from contest.fitting import Clock, Progress

    keras.utils.set_random_seed(task.seed)
    variant = find_variant(PRETRAINED)
    assert variant is not None
    shape, classes = data["x"].shape[1:], len(task.class_names)
    network = application(variant, shape[0])
    load_weights(network, imagenet(variant, task.weights_dir), PRETRAINED)
    network.trainable = False
    images = keras.Input(shape)
    x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(images))
    # In inference mode, so that its averages stay when it is trained.
    x = network(preprocess(x, variant, shape[0]), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(images, layers.Dense(classes)(x))
    path, best = Path(task.folder) / _MODEL, [0.0]

    def keep(epoch: int, logs: dict[str, float]) -> None:
        # Keras's ModelCheckpoint, killed while it writes, leaves half a file and not the old one.
        if logs["val_accuracy"] > best[0]:
            best[0] = logs["val_accuracy"]
            with replacing(path) as temporary:
                model.save(temporary)

    for share, rate in ((_HEAD, _HEAD_RATE), (1.0, _RATE)):
        network.trainable = rate == _RATE
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )
        model.fit(
            data["x"],
            data["y"],
            batch_size=_BATCH,
            epochs=_EPOCHS,
            validation_data=(data["vx"], data["vy"]),
            callbacks=[
                Progress(task),
                keras.callbacks.LambdaCallback(on_epoch_end=keep),
                Clock(task, None, share),
            ],
            verbose=0,
        )


def predict(task: Task) -> None:
    """Predict the test images with the best epoch."""
    import keras
    import numpy as np

    from contest import fitting

    path = Path(task.folder) / _MODEL
    if not path.exists():
        fitting.predict(task)
        return
    model = keras.models.load_model(path, compile=False)
    logits = model.predict(np.load(task.test_images), verbose=0)
    np.save(Path(task.folder) / PREDICTIONS, logits.argmax(axis=1))


SYSTEMS = (
    System(
        NAME,
        start=lambda task: command("sensible_default", "train", task),
        predict=lambda task: command("sensible_default", "predict", task),
    ),
)
