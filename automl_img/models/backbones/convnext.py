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
        learns=((27.82, 30.93), (27.58, 17.69), (26.59, 11.21), (15.47, 1.66)),
    ),
    Variant(
        "convnext_small",
        "ConvNeXtSmall",
        "convnext_small_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(27, 52, 269, 295),
        learns=((49.45, 49.90), (49.21, 36.65), (48.22, 30.18), (15.47, 1.66)),
    ),
    Variant(
        "convnext_base",
        "ConvNeXtBase",
        "convnext_base_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(27, 52, 269, 295),
        learns=((87.57, 66.43), (87.14, 48.87), (85.40, 40.24), (27.45, 2.21)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
size = FAMILY.size
