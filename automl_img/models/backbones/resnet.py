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
        learns=((23.59, 37.12), (23.36, 18.51), (22.13, 8.88), (15.00, 1.86)),
    ),
    Variant(
        "resnet101",
        "ResNet101",
        "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(39, 81, 313, 345),
        learns=((42.66, 55.88), (42.43, 37.28), (41.20, 27.65), (15.00, 1.86)),
    ),
    Variant(
        "resnet152",
        "ResNet152",
        "resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(39, 121, 483, 515),
        learns=((58.37, 79.06), (58.14, 60.46), (55.78, 42.00), (15.00, 1.86)),
    ),
    Variant(
        "resnet50v2",
        "ResNet50V2",
        "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(40, 86, 154, 190),
        learns=((23.56, 31.38), (23.34, 17.20), (22.11, 8.63), (14.99, 1.98)),
    ),
    Variant(
        "resnet101v2",
        "ResNet101V2",
        "resnet101v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(40, 86, 341, 377),
        learns=((42.63, 51.26), (42.40, 37.08), (41.17, 28.51), (14.99, 1.98)),
    ),
    Variant(
        "resnet152v2",
        "ResNet152V2",
        "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="unit",
        minimum=32,
        cuts=(40, 130, 528, 564),
        learns=((58.33, 75.75), (58.10, 61.57), (55.75, 43.72), (14.99, 1.98)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = True
build = FAMILY.build
size = FAMILY.size
