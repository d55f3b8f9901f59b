"""What the graph of a trial is fed with: images, or the kept features of its frozen part."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from automl_img.data.batches import Batches
from automl_img.data.images import Images
from automl_img.data.pixels import PixelCache
from automl_img.errors import DataError
from automl_img.labels import are_sets
from automl_img.models.network import ImageFacts, has_frozen_part
from automl_img.training.features import FrozenFeatures
from automl_img.training.other_nodes import OtherNodes
from automl_img.trials import Params, TrialSpec

Array = np.ndarray[Any, Any]


class TrialImages:
    """The images of a trial.

    Attributes:
        images: uint8 (rows, side, side, channels), mapped.
        labels: see ``automl_img.labels``.
        train, validation: int64, rows.
    """

    def __init__(self, spec: TrialSpec) -> None:
        self.images = _mapped(spec.pixels)
        with np.load(spec.rows, allow_pickle=False) as arrays:
            self.labels: Array = arrays["labels"]
            self.train: Array = arrays["train"]
            self.validation: Array = arrays["validation"]
        # Training on all leaves nothing to validate on.
        self.parts = (self.train, self.validation) if spec.train_on_all else (self.train,)
        if spec.train_on_all:
            self.validation = self.validation[:0]

    @property
    def labels_to_validate(self) -> Array:
        """Labels of the validation images, in their order."""
        return self.labels[self.validation]

    def facts(self, spec: TrialSpec) -> ImageFacts:
        size, channels = self.images.shape[1], self.images.shape[3]
        sets = are_sets(self.labels)
        return ImageFacts(size, channels, len(spec.class_names), spec.flips, sets)


@lru_cache(maxsize=1)
def _mapped(folder: str) -> Images:
    """The images of a pixel cache, mapped once by a worker for all of its trials."""
    images: Images = PixelCache(Path(folder)).images
    return images


class Inputs(Protocol):
    """What a trial trains on.

    Attributes:
        kept: shape of the features of an image where they take its place in the graph, else None.
        traced: graphs that were traced to make them.
        frozen_parameters: of what is not in the graph any more.
    """

    @property
    def kept(self) -> tuple[int, ...] | None: ...

    @property
    def frozen_parameters(self) -> int: ...

    @property
    def traced(self) -> int: ...

    def batches(self, epoch: int) -> Batches:
        """Those of an epoch, from 0."""

    def validation(self) -> tuple[Any, Array]:
        """An array, and the rows of it that are the validation images, in their order."""

    def frozen_ms_per_image(self) -> float:
        """Milliseconds that an image takes outside of the graph."""


def inputs_of(
    spec: TrialSpec,
    params: Params,
    data: TrialImages,
    facts: ImageFacts,
    epochs: range,
    others: OtherNodes | None = None,
) -> tuple[Inputs, str | None]:
    """Kept features where the backbone has a frozen part and there is room for them, else images.

    Args:
        epochs: those that train on the inputs, from 0.
        others: of a cluster, which may have computed the features.

    Returns:
        The inputs, and if features are not kept for want of room, a sentence that says so.
    """
    # Without a file of weights a frozen part is another one in each trial.
    if spec.features is None or spec.weights is None or not has_frozen_part(params):
        return PixelInputs(spec, data), None
    features = FrozenFeatures(spec, params, facts, data.images, others)
    try:
        refusal = features.refusal(data.parts, data.validation, epochs)
        if refusal is None:
            return FeatureInputs(spec, params, data, features, epochs.start), None
    except (DataError, OSError) as error:
        refusal = f"the frozen part runs in every epoch, as its features cannot be kept: {error}"
    return PixelInputs(spec, data), refusal


def batches_of(
    spec: TrialSpec, images: Any, labels: Array, rows: Array, batch_size: int | None = None
) -> Batches:
    """The training batches of a trial.

    Args:
        images: (rows, ...), pixels or features.
        labels: of each row of ``images``, see ``automl_img.labels``.
        rows: int64, those to train on.
        batch_size: None takes that of the trial.
    """
    params = spec.params
    return Batches(
        images,
        labels,
        rows,
        batch_size or int(params["batch_size"]),
        spec.seed,
        # Trials of earlier versions have neither.
        weighting=float(params.get("imbalance.class_weights", 0.0)),
        oversampling=float(params.get("imbalance.oversampling", 0.0)),
    )


class PixelInputs:
    """Images; see ``Inputs``."""

    kept: tuple[int, ...] | None = None
    frozen_parameters = 0
    traced = 0

    def __init__(self, spec: TrialSpec, data: TrialImages) -> None:
        self._data = data
        rows = np.concatenate(data.parts)
        self._batches = batches_of(spec, data.images, data.labels, rows)

    def batches(self, epoch: int) -> Batches:
        return self._batches

    def validation(self) -> tuple[Any, Array]:
        return self._data.images, self._data.validation

    def frozen_ms_per_image(self) -> float:
        return 0.0


class FeatureInputs:
    """Features of a frozen part; see ``Inputs``."""

    def __init__(
        self,
        spec: TrialSpec,
        params: Params,
        data: TrialImages,
        features: FrozenFeatures,
        first_epoch: int,
    ) -> None:
        """
        Raises:
            DataError: the features of the first epoch or of the validation cannot be kept.
        """
        self._spec, self._data, self._features = spec, data, features
        self.frozen_parameters = features.parameters
        # Of a backbone that is frozen as a whole, both pooled features are kept.
        whole = len(features.shape) == 2
        self.kept = features.shape[1:] if whole else features.shape
        self._pooled = ("avg", "max").index(str(params["head.pooling"])) if whole else None
        self._validation = self._array(data.validation, None) if len(data.validation) else None
        # Once, as the features may be removed for others while they are in use here.
        self._ms_per_image = features.ms_per_image(data.validation)
        self._latest = [self._array(rows, first_epoch) for rows in data.parts]

    @property
    def traced(self) -> int:
        return self._features.traced

    def batches(self, epoch: int) -> Batches:
        # A disk that fills up under a trial costs it a new view and no more.
        with suppress(DataError):
            self._latest = [self._array(rows, epoch) for rows in self._data.parts]
        parts = self._latest
        labels = self._data.labels[np.concatenate(self._data.parts)]
        features = parts[0] if len(parts) == 1 else Joined(parts)
        return batches_of(self._spec, features, labels, np.arange(len(labels)))

    def validation(self) -> tuple[Any, Array]:
        return self._validation, np.arange(len(self._data.validation))

    def frozen_ms_per_image(self) -> float:
        return self._ms_per_image

    def _array(self, rows: Array, epoch: int | None) -> Array:
        found = self._features.array(rows, epoch)
        return found if self._pooled is None else found[:, self._pooled]


class Joined:
    """Arrays one after the other, read by rows as one; nothing is copied but the rows read."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.dtype = arrays[0].dtype
        self.shape = (int(self._starts[-1]), *arrays[0].shape[1:])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: Array) -> Array:
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for place, array in enumerate(self._arrays):
            mine = which == place
            found[mine] = array[rows[mine] - self._starts[place]]
        return found
