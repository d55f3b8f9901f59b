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
    ),
    Variant(
        "vgg19",
        "VGG19",
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        preprocessing="caffe",
        minimum=32,
        cuts=(4, 7, 12, 17, 22),
    ),
)
VARIANTS = FAMILY.names
HYPERPARAMETERS = FAMILY.hyperparameters
START = FAMILY.start
BFLOAT16_ON_CPU = True
build = FAMILY.build
