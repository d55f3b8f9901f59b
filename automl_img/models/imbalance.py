"""What training does about classes that have few images."""

from __future__ import annotations

from automl_img.errors import SpaceError
from automl_img.space.dimensions import Dimension, Float, SearchSpace

HYPERPARAMETERS: tuple[Dimension, ...] = (
    # The power of 1 / frequency that the loss of an image is weighted by: 1 makes all classes
    # count the same.
    Float("imbalance.class_weights", 0.0, 1.0, default=0.0),
    # The same for how often an image is drawn: 1 draws all classes equally often.
    Float("imbalance.oversampling", 0.0, 1.0, default=0.0),
    # See ``automl_img.models.head.cross_entropy``; 0 is plain cross-entropy.
    Float("imbalance.focal_gamma", 0.0, 5.0, default=0.0),
)
# Both count the classes of an image as one.
_OF_ONE_CLASS = ("imbalance.class_weights", "imbalance.oversampling")


def refuse_for_several_classes(space: SearchSpace) -> None:
    """Refuse what is for images with one class each alone.

    Raises:
        SpaceError: ``space`` weights classes, or draws rare ones more often.
    """
    for name in _OF_ONE_CLASS:
        if name in space.searched or space[name].default:
            raise SpaceError(
                f"{name} must be 0 where images may have several classes, but the space sets or "
                "searches it; imbalance.focal_gamma is for these too"
            )
