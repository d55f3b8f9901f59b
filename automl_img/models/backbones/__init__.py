"""Plug-ins: a file is a family of backbones.

Each has

- ``VARIANTS``: the names that ``backbone`` may take, the smallest first;
- ``HYPERPARAMETERS``: what only this family has;
- ``START``: hand-made settings to try first, as parameters; the rest is at its default;
- ``BFLOAT16_ON_CPU``: whether its steps are faster in bfloat16 on a processor that is made for it,
  as nearly all of their time goes into plain convolutions (docs/benchmarks.md, ``precision.py``);
- ``build(variant, image_size, channels, params, weights)``: a ``keras.Model`` from float
  images in [0, 255] of shape (batch, image_size, image_size, channels) to a feature map of shape
  (batch, height, width, filters). Where a part of it is frozen, it is made of a layer "prefix",
  which never trains, and a layer "suffix", which does; either may be missing;
- ``size(variant, image_size, channels, params)``: about how large that is, an
  ``automl_img.models.size.Size``, told without building it.
"""

from __future__ import annotations

import sys
from types import ModuleType

from automl_img.plugins import leaves


def family_of(backbone: str) -> ModuleType:
    """The plug-in that has ``backbone`` among its variants."""
    return next(leaf for leaf in leaves(sys.modules[__name__]) if backbone in leaf.VARIANTS)
