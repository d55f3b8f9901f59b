"""Outputs of the frozen part of a backbone, computed once for all trials and later runs.

A frozen part gives the same for the same image in every epoch of every trial. One array on the
disk holds it for the training or the validation images, float16, memory-mapped by all who need it.
Where the whole backbone is frozen, the pooled features are kept, average and maximum side by side.

Augmented images are other images, so of these a fixed number of views is kept: epoch e trains on
view e modulo ``VIEWS``. The views are drawn by their number and not by the seed of a trial, so
trials with the same augmentation share them.

On a cluster another node may have them, from which they are brought where that is cheaper.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from automl_img.data.batches import evaluation_batches
from automl_img.data.cache import META, built_once, check_space, read_meta
from automl_img.errors import DataError, OutOfTime
from automl_img.files import write_json
from automl_img.models.augment import amounts, augmentation
from automl_img.models.initialization import reseed
from automl_img.models.network import ImageFacts, frozen_part
from automl_img.training.other_nodes import Alone, OtherNodes
from automl_img.training.watchdog import WATCHDOG
from automl_img.trials import Params, TrialSpec

# To be raised whenever the same image would get other features.
FORMAT = 1
VIEWS = 4
ARRAY = "features.npy"
_BATCH = 64
_LARGEST = float(np.finfo(np.float16).max)

Array = np.ndarray[Any, Any]


class FrozenFeatures:
    """The features of a trial's frozen part, for any images of its pixel cache.

    Attributes:
        traced: graphs that were traced to compute some of them.
    """

    def __init__(
        self,
        spec: TrialSpec,
        params: Params,
        facts: ImageFacts,
        images: Any,
        others: OtherNodes | None = None,
    ) -> None:
        """
        Args:
            spec: with a folder for features.
            params: of a trial whose backbone is frozen, wholly or up to a cut.
            images: uint8 (rows, side, side, channels), the pixel cache.
            others: of a cluster.
        """
        self._root = Path(str(spec.features))
        self._spec, self._params, self._facts, self._images = spec, params, facts, images
        self._others = others or Alone()
        every = amounts(params, facts.flips, facts.channels)
        self._changes = {name: amount for name, amount in every.items() if amount > 0}
        self.traced = 0

    def array(self, rows: Array, epoch: int | None) -> Array:
        """float16 (rows, *shape), memory-mapped; brought or computed if that was not done before.

        Args:
            rows: int64, rows of the pixel cache.
            epoch: of training, from 0; None for the images without augmentation.

        Raises:
            DataError: the features cannot be written.
            OutOfTime: the deadline of the trial passed meanwhile.
        """
        view = None if epoch is None or not self._changes else epoch % VIEWS
        folder = self._folder(rows, view)
        while True:
            meta = built_once(
                folder,
                lambda into: (
                    self._others.bring(folder.name, into / ARRAY, self._check_time)
                    or self._compute(into, rows, view)
                ),
                look=self._check_time,
            )
            self._others.tell(folder.name, meta)
            # Another worker may remove them just now, to make room for its own.
            with suppress(FileNotFoundError):
                # The time of use, for who makes room later; a cache of others may not be ours to
                # touch.
                with suppress(PermissionError):
                    os.utime(folder / META)
                found: Array = np.load(folder / ARRAY, mmap_mode="r", allow_pickle=False)
                return found

    def refusal(self, parts: Sequence[Array], validation: Array, epochs: range) -> str | None:
        """Why the features of some epochs of training are not kept, in a sentence; None where they
        find room, the least recently used ones of others removed for it.

        The budget is held by each worker for itself: what others are writing just now, it does not
        see.

        Args:
            parts: rows of the training images, in arrays that are kept each on its own.
            validation: rows.
            epochs: from 0.
        """
        views = sorted({epoch % VIEWS for epoch in epochs}) if self._changes else [None]
        wanted = [(rows, view) for rows in parts for view in views]
        wanted += [(validation, None)] if len(validation) else []
        size = sum(self._bytes(rows) for rows, _ in wanted)
        missing = [rows for rows, view in wanted if read_meta(self._folder(rows, view)) is None]
        about = f"the features of {self._params['backbone']} frozen up to layer {self._cut} need"
        instead = "so its trials run the frozen part in every epoch"
        if size > self._spec.feature_bytes:
            budget = amount(self._spec.feature_bytes)
            return f"{about} {amount(size)}, more than --feature-cache has ({budget}), {instead}"
        if missing:
            kept = [self._folder(rows, view) for rows, view in wanted]
            _make_room(self._root, self._spec.feature_bytes - size, kept)
            try:
                check_space(self._root, sum(self._bytes(rows) for rows in missing))
            except DataError:
                return f"{about} {amount(size)}, more than the disk of the cache has, {instead}"
        return None

    def _bytes(self, rows: Array) -> int:
        return 2 * len(rows) * int(np.prod(self.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is kept of one image."""
        return tuple(self._about["shape"])

    @property
    def parameters(self) -> int:
        """Of the frozen part."""
        return int(self._about["parameters"])

    def ms_per_image(self, rows: Array) -> float:
        """Milliseconds that the frozen part took for each of ``rows``, when they were computed."""
        meta = read_meta(self._folder(rows, None)) or {}
        return float(meta.get("ms_per_image", 0.0))

    @cached_property
    def _about(self) -> dict[str, Any]:
        """What is known of the frozen part, so that it is built only where something is missing."""
        path = self._root / f"{self._key}.json"
        if path.exists():
            about = dict(json.loads(path.read_text(encoding="utf-8")))
        else:
            about = self._others.facts(self._key) or {
                "shape": self._extractor.output_shape[1:],
                "parameters": self._frozen.count_params(),
            }
            write_json(path, about)
        self._others.tell(self._key, about)
        return about

    @cached_property
    def _key(self) -> str:
        """Of the frozen part and of the images, whatever is done to them."""
        spec, name = self._spec, str(self._params["backbone"])
        weights = None if spec.weights is None else _content(spec.weights)
        # A pixel cache is named by the content of its images, their size and channels.
        parts = [FORMAT, Path(spec.pixels).name, self._facts.shape, name, weights, self._cut]
        return _short(json.dumps(parts).encode("utf-8"))

    @property
    def _cut(self) -> int:
        return int(self._params[f"{self._params['backbone']}.frozen_layers"])

    def _folder(self, rows: Array, view: int | None) -> Path:
        name = f"{self._key}-{_short(np.ascontiguousarray(rows).tobytes())}"
        if view is not None:
            drawn = json.dumps([view, sorted(self._changes.items())])
            name += f"-{_short(drawn.encode('utf-8'))}"
        return self._root / name

    def _compute(self, into: Path, rows: Array, view: int | None) -> dict[str, Any]:
        """Write the features of ``rows``; see ``built_once``."""
        began = time.perf_counter()
        self._check_time()
        check_space(into, self._bytes(rows))
        extractor = self._extractor if view is None else self._augmented
        reseed(extractor.variables, seed=view or 0)
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(rows), *self.shape)}
        times = []
        with (into / ARRAY).open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for batch, count in evaluation_batches(self._images, rows, _BATCH):
                self._check_time()
                started = time.perf_counter()
                found = keras.ops.convert_to_numpy(extractor.predict_on_batch(batch))[:count]
                times.append((time.perf_counter() - started) / len(batch))
                stream.write(np.clip(found, -_LARGEST, _LARGEST).astype(np.float16).tobytes())
        if len(times) == 1:
            # That one was traced.
            started = time.perf_counter()
            keras.ops.convert_to_numpy(extractor.predict_on_batch(batch))
            times.append((time.perf_counter() - started) / len(batch))
        # The fastest, as others may share the processor.
        return {
            "ms_per_image": 1000 * min(times),
            # By which other nodes decide whether to fetch them.
            "seconds": time.perf_counter() - began,
            "sizes": {ARRAY: (into / ARRAY).stat().st_size},
        }

    def _check_time(self) -> None:
        """Look whether there is time; what is computed here, or waited for, counts as progress.

        Raises:
            OutOfTime: the deadline of the trial has passed. A retraining goes on: its features are
                most often there, and without them it gives nothing.
        """
        WATCHDOG.progress()
        spec = self._spec
        if spec.deadline is not None and not spec.train_on_all and time.time() >= spec.deadline:
            raise OutOfTime

    @cached_property
    def _frozen(self) -> Any:
        return frozen_part(self._params, self._facts, self._spec.weights)

    @cached_property
    def _extractor(self) -> Any:
        return self._pixels_to_features(augmented=False)

    @cached_property
    def _augmented(self) -> Any:
        return self._pixels_to_features(augmented=True)

    def _pixels_to_features(self, augmented: bool) -> Any:
        self.traced += 1
        pixels = keras.Input(self._facts.shape, dtype="uint8", name="pixels")
        x = keras.layers.Rescaling(1.0)(pixels)
        x = augmentation(self._changes, always=True)(x) if augmented else x
        return keras.Model(pixels, self._frozen(x))


def _make_room(root: Path, limit: int, kept: Collection[Path]) -> None:
    """Remove the least recently used features until the others take at most ``limit`` bytes.

    Args:
        kept: folders that stay and do not count.
    """
    found = []
    for folder in root.iterdir() if root.exists() else ():
        # What begins with a point is being written.
        meta = None if folder.name.startswith(".") else read_meta(folder)
        if meta is None or folder in kept:
            continue
        # Another worker may remove it first.
        with suppress(FileNotFoundError):
            used = (folder / META).stat().st_mtime
            found.append((used, folder, sum(meta["sizes"].values())))
    total = sum(size for _, _, size in found)
    for _, folder, size in sorted(found):
        if total <= limit:
            return
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def amount(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.1f} MB"


def _content(path: str) -> str:
    about = Path(path).stat()
    return _digest_of(path, about.st_size, about.st_mtime_ns)


@cache
def _digest_of(path: str, size: int, changed: int) -> str:
    """Of a file of weights, which a worker reads for this once; the rest tells a changed file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()[:32]


def _short(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()
