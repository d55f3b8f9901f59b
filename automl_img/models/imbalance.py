"""What training does about classes that have few images."""

from __future__ import annotations

from automl_img.space.dimensions import Dimension, Float

HYPERPARAMETERS: tuple[Dimension, ...] = (
    # The power of 1 / frequency that the loss of an image is weighted by: 1 makes all classes
    # count the same.
    Float("imbalance.class_weights", 0.0, 1.0, default=0.0),
    # The same for how often an image is drawn: 1 draws all classes equally often.
    Float("imbalance.oversampling", 0.0, 1.0, default=0.0),
    # See ``automl_img.models.head.cross_entropy``; 0 is plain cross-entropy.
    Float("imbalance.focal_gamma", 0.0, 5.0, default=0.0),
)
