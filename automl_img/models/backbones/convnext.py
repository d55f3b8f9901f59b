"""ConvNeXt; scales its input itself (https://arxiv.org/abs/2201.03545)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "convnext_tiny",
        "ConvNeXtTiny",
        "convnext_tiny_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(27, 52, 125, 151),
    ),
    Variant(
        "convnext_small",
        "ConvNeXtSmall",
        "convnext_small_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(27, 52, 269, 295),
    ),
    Variant(
        "convnext_base",
        "ConvNeXtBase",
        "convnext_base_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(27, 52, 269, 295),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
