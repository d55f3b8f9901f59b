"""ResNet v1 and v2 (https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1603.05027)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "resnet50",
        "ResNet50",
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(39, 81, 143, 175),
    ),
    Variant(
        "resnet101",
        "ResNet101",
        "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(39, 81, 313, 345),
    ),
    Variant(
        "resnet152",
        "ResNet152",
        "resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(39, 121, 483, 515),
    ),
    Variant(
        "resnet50v2",
        "ResNet50V2",
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(40, 86, 154, 190),
    ),
    Variant(
        "resnet101v2",
        "ResNet101V2",
        "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(40, 86, 341, 377),
    ),
    Variant(
        "resnet152v2",
        "ResNet152V2",
        "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(40, 130, 528, 564),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = False
build = FAMILY.build
