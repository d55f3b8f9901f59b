"""Random changes to training images, inside the compiled step, one strength over all of them."""

from __future__ import annotations

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


def augmentation(amount: dict[str, float], seed: int) -> Any:
    """The layers as a ``keras.Sequential`` on float images in [0, 255]; None if nothing changes.

    Geometry comes first and cut-out last, so that the hole keeps its edges. Empty borders are
    filled by reflection. A random crop is a zoom into the image by up to ``crop`` and a shift.
    """
    import keras

    seeds = iter(range(seed, seed + len(amount)))
    changes = [_layer(name, value, next(seeds)) for name, value in amount.items() if value > 0]
    if not changes:
        return None
    scaled = [keras.layers.Rescaling(1 / 255), *changes, keras.layers.Rescaling(255.0)]
    return keras.Sequential(scaled, name="augmentation")


def _layer(name: str, value: float, seed: int) -> Any:
    from keras import layers

    unit = {"value_range": (0.0, 1.0), "seed": seed}
    border = {"fill_mode": "reflect", "seed": seed}
    match name:
        case "horizontal_flip" | "vertical_flip":
            return layers.RandomFlip(name.removesuffix("_flip"), seed=seed)
        case "shift":
            return layers.RandomTranslation(value, value, **border)
        case "rotation":
            return layers.RandomRotation(value, **border)
        case "shear":
            return layers.RandomShear(value, value, **border)
        case "zoom":
            return layers.RandomZoom((-value, value), **border)
        case "crop":
            inside = {"fill_mode": "reflect"}
            return _sequence(
                layers.RandomZoom((-value, 0.0), seed=seed, **inside),
                layers.RandomTranslation(value / 2, value / 2, seed=seed + 1000, **inside),
            )
        case "brightness":
            return layers.RandomBrightness(value, **unit)
        case "contrast":
            return layers.RandomContrast(value, **unit)
        case "saturation":
            return layers.RandomSaturation((0.5 - value / 2, 0.5 + value / 2), **unit)
        case "noise":
            # Held in [0, 1] like the images of a camera; images without noise lie there already.
            return _sequence(layers.GaussianNoise(value, seed=seed), layers.ReLU(max_value=1.0))
        case "blur":
            # A single number would be drawn from 0 on: the probability for each image, and one
            # sigma for the whole batch.
            return layers.RandomGaussianBlur((value, value), 3, (1.0, 1.0), **unit)
        case "cutout":
            return layers.RandomErasing((1.0, 1.0), (0.0, value**2), fill_value=0.5, **unit)
    raise ValueError(f"no layer for the augmentation {name!r}")


def _sequence(*layers: Any) -> Any:
    import keras

    return keras.Sequential(list(layers))
