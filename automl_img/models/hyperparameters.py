"""Every hyperparameter there is, gathered from where each is used."""

from __future__ import annotations

from functools import cache

from automl_img.models import augment, backbones, head, imbalance, optimizer, pretrained
from automl_img.plugins import leaves
from automl_img.space.dimensions import Choice, Dimension


@cache
def declared() -> tuple[Dimension, ...]:
    """All hyperparameters with their bounds and defaults, parents before their children."""
    variants = tuple(name for family in leaves(backbones) for name in family.VARIANTS)
    return (
        Choice("backbone", variants, default="cnn"),
        *pretrained.HYPERPARAMETERS,
        *(dimension for family in leaves(backbones) for dimension in family.HYPERPARAMETERS),
        *head.HYPERPARAMETERS,
        *optimizer.HYPERPARAMETERS,
        *augment.HYPERPARAMETERS,
        *imbalance.HYPERPARAMETERS,
    )
