"""VGG: plain stacks of convolutions (https://arxiv.org/abs/1409.1556)."""

from __future__ import annotations

from automl_img.models.pretrained import Family, Variant

FAMILY = Family(
    Variant(
        "vgg16",
        "VGG16",
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(4, 7, 11, 15, 19),
        learns=((14.71, 15.23), (14.68, 7.85), (14.45, 4.24), (12.98, 1.63), (7.08, 0.33)),
    ),
    Variant(
        "vgg19",
        "VGG19",
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(4, 7, 12, 17, 22),
        learns=((20.02, 16.53), (19.99, 9.16), (19.76, 5.54), (17.70, 2.13), (9.44, 0.43)),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = True
build = FAMILY.build
size = FAMILY.size
