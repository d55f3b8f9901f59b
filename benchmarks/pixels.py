"""What images cost: opened again, decoded into the cache, and fed into the step of training.

- Reopening: all that a later run on the same files does before its first trial (listing, index,
  split, pixels), on 60,000 images, in one process.
- Decoding, by one process and by all.
- Feeds: images a second that reach a model of two layers, which computes next to nothing. Ours
  reads the memory-mapped cache; `keras.utils.image_dataset_from_directory`, a `tf.data` pipeline
  that decodes in parallel, and `ImageDataGenerator` decode in every epoch. The images are shuffled,
  32 pixels small, and photos at 128 pixels.
- An epoch of a small CNN fed with our pixels, against the same model on random images that lie in
  memory in the order of the batches: what is above 1 is what the step waits for.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import frame
import numpy as np

from automl_img.data import processes
from automl_img.data.batches import Batches
from automl_img.data.prepare import Prepared
from automl_img.data.worker import decode_job

GOAL = (
    "an epoch with our pixels at most 1.02 of one on random data in memory, "
    "and 60,000 images reopened in less than 1 s"
)
_MOST_RATIO = 1.02
_MOST_SECONDS = 1.0
_MANY = 60_000
_BATCH = 64
_PHOTO_SIDE = 128
_PHOTOS = frame.FOLDER.parent.parent / "shared" / "data" / "grocery.zip"

Figures = dict[str, float | int | str | bool]


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    figures: Figures = {}
    with frame.workspace() as folder:
        os.environ["AUTOML_IMG_CACHE"] = str(folder / "cache")
        many = _many_images(folder, 3_000 if short else _MANY)
        figures["small images"] = many.words
        seconds, small = _reopen(many, 3 if short else 7, figures)
        photos = _photos(folder, 400 if short else 4_000)
        figures["photos"] = photos.words
        large = frame.prepared(photos, image_size=_PHOTO_SIDE)
        for name, ready in (("32 px", small), (f"photos to {_PHOTO_SIDE} px", large)):
            _decode(name, ready, figures)
        rounds = 2 if short else 3
        for name, images, ready in (
            ("32 px", many, small),
            (f"{_PHOTO_SIDE} px", photos, large),
        ):
            _feed(name, images, ready, rounds, figures)
        ratio = _epoch(small, 30 if short else 300, 3 if short else 9, figures)
    met = ratio <= _MOST_RATIO and seconds < _MOST_SECONDS
    frame.finish("pixels", figures, GOAL, met, short)


def _many_images(folder: Path, count: int) -> frame.Images:
    """So many class folders' worth of small images, each with a content of its own."""
    images = frame.small_images(folder, min(count // 10, 5_000))
    files = sorted(path for path in Path(images.data).rglob("*") if path.is_file())
    for path in files[: count - len(files)]:
        # Decoders read no byte after the end of an image, but its digest does.
        path.with_stem(f"{path.stem}-again").write_bytes(path.read_bytes() + b" ")
    words = f"{count:,}, {images.words}"
    if count > len(files):
        words += f", {count - len(files):,} of them once more"
    return frame.Images(images.data, words)


def _photos(folder: Path, count: int) -> frame.Images:
    """Class folders of photos with a shorter side of 256 pixels, from ../shared/data or drawn."""
    into = folder / "photos"
    if _PHOTOS.exists():
        with zipfile.ZipFile(_PHOTOS) as archive:
            names = [name for name in archive.namelist() if name.endswith(".jpg")]
            for name in names[:: max(1, len(names) // count)][:count]:
                _, split, label, *rest = name.split("/")
                (into / label).mkdir(parents=True, exist_ok=True)
                (into / label / "-".join((split, *rest))).write_bytes(archive.read(name))
        found = sum(1 for _ in into.rglob("*.jpg"))
        return frame.Images(str(into), f"{found:,}, Grocery Store Dataset")
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        label = into / f"class{number % 4}"
        label.mkdir(parents=True, exist_ok=True)
        rough = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        smooth = Image.fromarray(rough).resize((256, 256), Image.Resampling.BICUBIC)
        smooth.save(label / f"{number:05d}.jpg", quality=90)
    return frame.Images(str(into), f"{count:,}, drawn; ../shared/data is missing")


def _reopen(images: frame.Images, rounds: int, figures: Figures) -> tuple[float, Prepared]:
    """Seconds to open ``images`` again, and the images."""
    # Files that were written just now are not remembered; see data/memo.py.
    time.sleep(3)
    started = time.perf_counter()
    ready = frame.prepared(images)
    figures["opened for the first time, seconds"] = round(time.perf_counter() - started, 2)
    found = frame.alternate({"again": lambda: frame.prepared(images)}, rounds)["again"]
    figures["opened again, seconds"] = round(found.best, 3)
    figures["opened again, seconds, median"] = round(found.median, 3)
    return found.best, ready


def _decode(name: str, ready: Prepared, figures: Figures) -> None:
    """Images a second into a file, by one process and by all."""
    side, channels = ready.image_size, ready.channels
    target = Path(os.environ["AUTOML_IMG_CACHE"]) / "decoded"
    target.touch()
    rows = np.arange(len(ready.index))
    for words, count in (("in this process", 0), (f"{processes.cores()} processes", None)):
        workers = processes.cores() if count is None else count
        chunks = processes.chunks(len(rows), workers)
        jobs = [
            decode_job(
                ready.index.paths[part.start : part.stop],
                ready.index.digests[part.start : part.stop],
                side,
                channels,
                into=target,
                offset=part.start * side * side * channels,
            )
            for part in chunks
        ]
        started = time.perf_counter()
        for _ in processes.run(jobs, workers):
            pass
        seconds = time.perf_counter() - started
        figures[f"decoding {name}, images/s, {words}"] = round(len(rows) / seconds)
    target.unlink()


def _feed(name: str, images: frame.Images, ready: Prepared, rounds: int, figures: Figures) -> None:
    """Images a second into a step that does next to nothing, ours and the others'."""
    import keras

    side, channels = ready.image_size, ready.channels
    model = keras.Sequential(
        [
            keras.Input((side, side, channels)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(ready.class_names)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    batches = _batches(ready)
    steps = min(len(batches), 100)
    others = _other_feeds(images, side)
    epoch = iter(range(10**6))
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: _fit(model, _ours(batches, epoch, steps))
    }
    for other, feed in others.items():
        work[other] = lambda feed=feed: _fit(model, feed, steps)
    found = frame.alternate(work, rounds)
    for other, times in found.items():
        figures[f"feed of {name}, images/s, {other}"] = round(steps * _BATCH / times.best)


def _epoch(ready: Prepared, steps: int, rounds: int, figures: Figures) -> float:
    """An epoch with our pixels over one with random images in memory."""
    side, channels = ready.image_size, ready.channels
    model = _small_cnn(side, channels, len(ready.class_names))
    batches = _batches(ready)
    rng = np.random.default_rng(0)
    steps = min(steps, len(batches))
    count = steps * _BATCH
    images = rng.integers(0, 256, (count, side, side, channels)).astype(np.uint8)
    labels = rng.integers(0, len(ready.class_names), count)
    epoch = iter(range(10**6))
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: _fit(model, _ours(batches, epoch, steps)),
        "random": lambda: model.fit(images, labels, batch_size=_BATCH, shuffle=False, verbose=0),
    }
    found = frame.alternate(work, rounds)
    name = "epoch with our pixels / on random data in memory"
    figures |= frame.in_ratios(name, found["ours"], found["random"])
    figures["batches of such an epoch"] = steps
    return float(figures[name])


def _batches(ready: Prepared) -> Batches:
    rows = ready.rows_arrays()
    return Batches(ready.pixels.images, rows["labels"], rows["train"], _BATCH, seed=0)


def _ours(batches: Batches, epoch: Any, steps: int) -> Any:
    """Our feed of the next epoch, as the trainer makes it."""
    from automl_img.training.feed import TrainingFeed

    return TrainingFeed(batches, next(epoch), (), range(steps))


def _fit(model: Any, feed: Any, steps: int | None = None) -> None:
    model.fit(feed, steps_per_epoch=steps, shuffle=False, verbose=0)


def _small_cnn(side: int, channels: int, classes: int) -> Any:
    import keras

    layers = [keras.Input((side, side, channels)), keras.layers.Rescaling(1 / 255)]
    for filters in (32, 64, 128):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
        ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=False)
    return model


def _other_feeds(images: frame.Images, side: int) -> dict[str, Any]:
    """What others feed from the same class folders: shuffled, decoded and resized, endless."""
    import keras
    import tensorflow as tf
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    named = keras.utils.image_dataset_from_directory(
        images.data, image_size=(side, side), batch_size=_BATCH, seed=0, verbose=False
    )
    files = [path for path in sorted(Path(images.data).rglob("*")) if path.is_file()]
    classes = sorted({path.relative_to(images.data).parts[0] for path in files})
    labels = [classes.index(path.relative_to(images.data).parts[0]) for path in files]

    def load(path: Any, label: Any) -> tuple[Any, Any]:
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(image, (side, side), antialias=True), label

    paths = tf.data.Dataset.from_tensor_slices(([str(path) for path in files], labels))
    mapped = paths.shuffle(len(files), seed=0).map(load, tf.data.AUTOTUNE)
    generator = ImageDataGenerator().flow_from_directory(
        images.data, (side, side), batch_size=_BATCH, class_mode="sparse", seed=0
    )
    return {
        "image_dataset_from_directory": named.repeat(),
        "tf.data": mapped.batch(_BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE).repeat(),
        "ImageDataGenerator": generator,
    }


if __name__ == "__main__":
    main()
