"""Random changes to training images, inside the compiled step, one strength over all of them.

One layer of our own and not Keras's one after the other: theirs take their amounts as numbers, so
each strength would be another graph, and each resamples the image once more. Here the amounts are
a variable, and all of the geometry is one affine transform and one interpolation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_img.space.dimensions import Choice, Dimension, Float
from automl_img.trials import Params

# At strength 1. Each amount is a fraction: of the side (shift, crop, and the hole of cutout at its
# largest), of the range of grey values (brightness, noise), of a full turn (rotation) or of the
# images (blur).
DEFAULT_SET = {
    "shift": 0.125,
    "rotation": 0.03,
    "zoom": 0.1,
    "contrast": 0.2,
    "cutout": 0.35,
}
FLIPS = ("horizontal_flip", "vertical_flip")
BOUNDS = {
    "shift": 0.5,
    "rotation": 0.5,
    "shear": 0.5,
    "zoom": 0.5,
    "crop": 0.5,
    "brightness": 0.8,
    "contrast": 0.8,
    "saturation": 0.8,
    "noise": 0.5,
    "blur": 1.0,
    "cutout": 0.8,
}

HYPERPARAMETERS: tuple[Dimension, ...] = (
    Float("augment.strength", 0.0, 1.0, default=0.5),
    # No default: what is neither searched nor fixed follows the strength.
    *(Choice(f"augment.{name}", (False, True), default=None) for name in FLIPS),
    *(Float(f"augment.{name}", 0.0, high, default=None) for name, high in BOUNDS.items()),
)


def amounts(params: Params, flips: bool, channels: int) -> dict[str, float]:
    """How much of each change: as set, else the default set times ``augment.strength``.

    A flip is 1.0 (half of the images) or 0.0.

    Args:
        flips: whether a mirrored image keeps its class; if not, the default set does not flip.
        channels: grey images (1) have no saturation.
    """
    strength = float(params["augment.strength"])
    # A mirrored image is as natural as the image itself, however weak the rest.
    mirrored = {"horizontal_flip": flips and strength > 0}
    result = {
        name: float(params.get(f"augment.{name}", mirrored.get(name, False))) for name in FLIPS
    }
    for name in BOUNDS:
        default = strength * DEFAULT_SET.get(name, 0.0)
        result[name] = float(params.get(f"augment.{name}", default))
    if channels == 1:
        result["saturation"] = 0.0
    return result


def augmented(images: Any, amount: Mapping[str, float], seed: int) -> Any:
    """Images as a trial sees them in one epoch, uint8 as they came.

    Args:
        images: uint8, shape (images, side, side, channels).
        amount: of every change, as ``amounts`` gives them.
        seed: another one gives other changes.
    """
    import numpy as np
    from keras import ops, random

    layer = augmentation(amount, always=True)
    if layer is None:
        return images
    layer.generator = random.SeedGenerator(seed)
    changed = ops.convert_to_numpy(layer(ops.cast(images, "float32")))
    return np.rint(np.clip(changed, 0, 255)).astype(np.uint8)


def augmentation(amount: Mapping[str, float], always: bool = False) -> Any:
    """A layer on float images in [0, 255], shape (batch, side, side, channels), that changes each
    image on its own; None if nothing changes.

    Args:
        amount: of every change, as ``amounts`` gives them.
        always: change the images also where a model predicts.
    """
    from automl_img.models.layers import Augmentation

    names = tuple(name for name, value in amount.items() if value > 0)
    if not names:
        return None
    layer = Augmentation(names, always)
    layer.set(amount)
    return layer
