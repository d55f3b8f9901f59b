"""MobileNet v1 to v3 (https://arxiv.org/abs/1704.04861, 1801.04381, 1905.02244)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "mobilenet_v3_small",
        "MobileNetV3Small",
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(19, 37, 121, 175),
    ),
    Variant(
        "mobilenet_v2",
        "MobileNetV2",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(27, 54, 116, 154),
    ),
    Variant(
        "mobilenet",
        "MobileNet",
        "mobilenet_1_0_224_tf_no_top.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(23, 36, 73, 86),
    ),
    Variant(
        "mobilenet_v3_large",
        "MobileNetV3Large",
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(29, 80, 149, 203),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
