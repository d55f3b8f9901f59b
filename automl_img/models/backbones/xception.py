"""Xception: depthwise separable convolutions (https://arxiv.org/abs/1610.02357)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "xception",
        "Xception",
        "xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=71,
        cuts=(16, 26, 116, 132),
        learns=((20.86, 34.57), (20.81, 21.80), (20.67, 16.74), (6.80, 1.70)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
size = FAMILY.size
