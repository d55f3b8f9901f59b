"""Inception v3 and Inception-ResNet v2 (https://arxiv.org/abs/1512.00567, https://arxiv.org/abs/1602.07261)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "inception_v3",
        "InceptionV3",
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=75,
        cuts=(11, 18, 87, 229, 311),
        learns=((21.80, 16.73), (21.77, 11.79), (21.63, 9.41), (20.81, 5.70), (12.83, 1.17)),
    ),
    Variant(
        "inception_resnet_v2",
        "InceptionResNetV2",
        "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=75,
        cuts=(11, 261, 595, 780),
        learns=((54.34, 40.73), (54.31, 35.79), (52.66, 20.80), (27.45, 2.99)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
size = FAMILY.size
