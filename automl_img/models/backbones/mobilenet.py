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
        learns=((0.94, 5.36), (0.94, 3.95), (0.93, 2.36), (0.74, 0.83)),
    ),
    Variant(
        "mobilenet_v2",
        "MobileNetV2",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(27, 54, 116, 154),
        learns=((2.26, 21.81), (2.24, 10.03), (2.20, 5.86), (1.70, 1.68)),
    ),
    Variant(
        "mobilenet",
        "MobileNet",
        "mobilenet_1_0_224_tf_no_top.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(23, 36, 73, 86),
        learns=((3.23, 16.84), (3.20, 6.84), (3.09, 4.32), (1.60, 0.64)),
    ),
    Variant(
        "mobilenet_v3_large",
        "MobileNetV3Large",
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(29, 80, 149, 203),
        learns=((3.00, 15.43), (2.99, 7.77), (2.93, 5.04), (2.19, 1.60)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
size = FAMILY.size
