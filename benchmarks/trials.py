"""Trials for the benchmarks that train without a search around it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import frame
import numpy as np

from automl_img.data.prepare import Prepared
from automl_img.models.hyperparameters import declared
from automl_img.space.presets import Preset, build_space
from automl_img.trials import Params, TrialSpec


def params_of(**typed: str) -> Params:
    """Every active hyperparameter; as typed with ``__`` for a point, else at its default."""
    fixed = {name.replace("__", "."): value for name, value in typed.items()}
    return build_space("benchmark", Preset(), declared(), {}, fixed).nearest({})


def spec_of(ready: Prepared, folder: Path, params: Params, **changes: Any) -> TrialSpec:
    """A trial of ``params`` on images that were prepared, in ``folder``; features are not kept."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = dict(ready.rows_arrays())
    np.savez(folder / "rows.npz", **rows)
    spec = TrialSpec(
        number=0,
        params=params,
        seed=0,
        max_epochs=2,
        pixels=str(ready.pixels.folder.absolute()),
        rows=str(folder / "rows.npz"),
        train_on_all=False,
        class_names=ready.class_names,
        flips=ready.flips,
        folder=str(folder / "trial"),
    )
    return dataclasses.replace(spec, **changes)


def random_weights(name: str, side: int, folder: Path) -> str:
    """A file with random weights for the backbone ``name``, since there is no network.

    The time of a step is that of ImageNet's weights; what is learnt is not.
    """
    import keras

    from automl_img.models.pretrained import application
    from automl_img.models.weights import find_variant

    variant = find_variant(name)
    assert variant is not None
    path = folder / f"{name}.weights.h5"
    keras.utils.set_random_seed(0)
    application(variant, max(side, variant.minimum)).save_weights(path)
    keras.backend.clear_session()
    return str(path)


def images(folder: Path, side: int, per_class: int) -> tuple[Prepared, str]:
    """Ten classes of small images, enlarged to ``side``, through the project's own preparation."""
    small = frame.small_images(folder, per_class)
    return frame.prepared(small, image_size=side), small.words
