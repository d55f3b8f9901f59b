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
        learns=((5.92, 16.16), (5.86, 11.50), (5.72, 10.52), (4.53, 3.79)),
    ),
    Variant(
        "efficientnet_v2_b1",
        "EfficientNetV2B1",
        "efficientnetv2-b1_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(33, 52, 198, 334),
        learns=((6.93, 21.43), (6.83, 14.15), (6.60, 12.57), (5.10, 4.23)),
    ),
    Variant(
        "efficientnet_v2_b2",
        "EfficientNetV2B2",
        "efficientnetv2-b2_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(33, 52, 198, 349),
        learns=((8.77, 23.15), (8.67, 15.87), (8.37, 14.08), (6.64, 5.05)),
    ),
    Variant(
        "efficientnet_v2_b3",
        "EfficientNetV2B3",
        "efficientnetv2-b3_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(33, 52, 228, 409),
        learns=((12.93, 28.90), (12.78, 20.47), (12.46, 18.60), (9.90, 6.69)),
    ),
    Variant(
        "efficientnet_v2_s",
        "EfficientNetV2S",
        "efficientnetv2-s_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(40, 66, 287, 513),
        learns=((20.33, 41.97), (20.01, 29.63), (19.42, 26.67), (14.99, 9.11)),
    ),
    Variant(
        "efficientnet_v2_m",
        "EfficientNetV2M",
        "efficientnetv2-m_notop.h5",
        preprocessing="inside",
        minimum=32,
        cuts=(52, 85, 396, 740),
        learns=((53.15, 68.13), (52.74, 51.88), (51.61, 47.29), (43.19, 18.13)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
size = FAMILY.size
