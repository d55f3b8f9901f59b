"""EfficientNetV2; scales its input itself (https://arxiv.org/abs/2104.00298)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "efficientnet_v2_b0",
        "EfficientNetV2B0",
        "efficientnetv2-b0_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(21, 33, 149, 270),
    ),
    Variant(
        "efficientnet_v2_b1",
        "EfficientNetV2B1",
        "efficientnetv2-b1_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(33, 52, 198, 334),
    ),
    Variant(
        "efficientnet_v2_b2",
        "EfficientNetV2B2",
        "efficientnetv2-b2_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(33, 52, 198, 349),
    ),
    Variant(
        "efficientnet_v2_b3",
        "EfficientNetV2B3",
        "efficientnetv2-b3_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(33, 52, 228, 409),
    ),
    Variant(
        "efficientnet_v2_s",
        "EfficientNetV2S",
        "efficientnetv2-s_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(40, 66, 287, 513),
    ),
    Variant(
        "efficientnet_v2_m",
        "EfficientNetV2M",
        "efficientnetv2-m_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(52, 85, 396, 740),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
