"""Where pretrained weights come from; asked once, before the first trial."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from automl_img.errors import WeightsError
from automl_img.models import backbones
from automl_img.models.pretrained import Family, Variant, application, load_weights
from automl_img.plugins import leaves
from automl_img.space.dimensions import Choice, SearchSpace


def weights_of_space(space: SearchSpace, weights_dir: str | None) -> dict[tuple[str, str], str]:
    """The weights file of each (backbone, weights) that a trial of ``space`` may ask for.

    Raises:
        WeightsError: one cannot be had, or a file of the user does not fit a backbone.
    """
    asked = [
        value
        for dimension in space.dimensions
        if dimension.name == "weights"
        for value in _options(dimension)
    ]
    names = [str(name) for name in _options(space["backbone"])]
    found: dict[tuple[str, str], str] = {}
    for variant in (variant for name in names if (variant := find_variant(name)) is not None):
        for weights in asked:
            if weights == "imagenet":
                found[variant.name, "imagenet"] = str(imagenet(variant, weights_dir))
            elif weights != "none":
                load_weights(application(variant, variant.minimum), Path(weights), variant.name)
                found[variant.name, weights] = weights
    return found


def find_variant(name: str) -> Variant | None:
    """The pretrained network ``name``; None for a backbone from scratch."""
    for module in leaves(backbones):
        family = getattr(module, "FAMILY", None)
        if isinstance(family, Family) and name in family.variants:
            return family.variants[name]
    return None


def imagenet(variant: Variant, weights_dir: str | None) -> Path:
    """The file with the ImageNet weights of ``variant``: from ``weights_dir``, Keras's cache or the
    network, in this order.

    Raises:
        WeightsError: none of them has it.
    """
    home = os.path.expanduser(os.environ.get("KERAS_HOME", os.path.join("~", ".keras")))
    cached = Path(home, "models", variant.weights_file).absolute()
    if weights_dir and (own := Path(weights_dir).expanduser() / variant.weights_file).is_file():
        if not _is_whole(own):
            raise WeightsError(f"{own} must be a whole HDF5 file; copy it there again")
        return own.absolute()
    # Keras compares its cache with a checksum when it is asked for the file, so a part is no loss.
    if cached.is_file() and _is_whole(cached):
        return cached
    try:
        _download(variant)
    except Exception as error:
        raise WeightsError(
            f"the ImageNet weights of {variant.name} cannot be had: {variant.weights_file} is "
            f"neither in --weights-dir nor in Keras's cache, and the download failed "
            f"({_first_line(error)}); put the file there, or take --fix weights=none or another "
            "backbone"
        ) from None
    if not cached.is_file():
        raise WeightsError(
            f"Keras's cache {cached.parent} must be a folder that can be written; set KERAS_HOME "
            "to another, or use --weights-dir"
        )
    return cached


def _is_whole(path: Path) -> bool:
    """Whether ``path`` is an HDF5 file of its full length; a download may have been cut short."""
    import h5py

    try:
        with h5py.File(path):
            return True
    except OSError:
        return False


def _download(variant: Variant) -> None:
    """Let Keras fetch the file into its cache, with its own address and checksum."""
    import keras

    build = getattr(keras.applications, variant.application)
    side = max(variant.minimum, 224)
    # Keras says on stdout that it downloads, and stdout is for results.
    with contextlib.redirect_stdout(sys.stderr):
        build(weights="imagenet", include_top=False, input_shape=(side, side, 3))
    keras.backend.clear_session()


def _options(dimension: object) -> list[str]:
    return [str(option) for option in dimension.options] if isinstance(dimension, Choice) else []


def _first_line(error: Exception) -> str:
    # Keras's message names the address; the file's name above says enough.
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0].split(" on http")[0][:200]
