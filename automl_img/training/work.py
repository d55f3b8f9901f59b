"""What a trial asks of a machine, told from the layers of its network; no graph is traced."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from automl_img.models.augment import amounts
from automl_img.models.backbones import family_of
from automl_img.models.head import build_head
from automl_img.models.network import ImageFacts, head_alone
from automl_img.models.pretrained import application
from automl_img.models.weights import find_variant
from automl_img.training.costs import Work
from automl_img.training.features import VIEWS
from automl_img.training.graphs import key_of
from automl_img.training.inputs import TrialImages
from automl_img.trials import Params, TrialSpec


def work_of(spec: TrialSpec) -> list[Work]:
    """The phases of a trial: its head alone, where it has such epochs, then all that is not frozen.

    Args:
        spec: its ``number``, ``seed`` and ``folder`` do not matter.
    """
    data = TrialImages(spec)
    facts = data.facts(spec)
    alone = head_alone(spec.params)
    if alone is None:
        return [phase_work(spec, spec.params, spec.max_epochs, data, facts)]
    first = min(int(spec.params["fine_tune.head_epochs"]), spec.max_epochs)
    phases = [phase_work(spec, alone, first, data, facts)]
    if first < spec.max_epochs:
        phases.append(phase_work(spec, spec.params, spec.max_epochs - first, data, facts))
    return phases


def phase_work(
    spec: TrialSpec, params: Params, epochs: int, data: TrialImages, facts: ImageFacts
) -> Work:
    """The work of ``epochs`` epochs with ``params``, in which all that is not frozen trains."""
    name = str(params["backbone"])
    variant = find_variant(name)
    cut = int(params.get(f"{name}.frozen_layers", 0))
    shaping = () if variant else tuple((key, params[key]) for key in params if key.startswith(name))
    macs, counts, values = layers_of(name, facts.image_size, facts.channels, shaping)
    filters = values[-1][-1]
    head = build_head(filters, facts.classes, params, serving=True)
    whole = cut == len(macs)
    shape = (2, filters) if whole else values[cut - 1]
    changes = [key for key, much in amounts(params, facts.flips, facts.channels).items() if much]
    views = min(VIEWS, epochs) if changes else 1
    image_bytes = 2 * int(np.prod(shape)) if cut else 0
    size = image_bytes * (views * len(np.concatenate(data.parts)) + len(data.validation))
    has_features = bool(cut and spec.features is not None and spec.weights is not None)
    kept = has_features and size <= spec.feature_bytes
    rows = ((filters,) if whole else shape) if kept else None
    drawn = sorted(amounts(params, facts.flips, facts.channels).items()) if changes else []
    return Work(
        params=params,
        epochs=epochs,
        graph=repr(key_of(params, facts, spec.weights, rows, spec.precision)),
        trained=sum(macs[cut:]) + head.count_params(),
        frozen=sum(macs[:cut]),
        kept=kept,
        features=repr((name, spec.weights, cut, drawn)) if kept else "",
        views=views,
        image_bytes=image_bytes,
        feature_bytes=size if has_features else 0,
        parameters=sum(counts) + head.count_params(),
    )


@lru_cache(maxsize=32)
def layers_of(
    name: str, image_size: int, channels: int, shaping: tuple[tuple[str, Any], ...]
) -> tuple[list[float], list[int], list[tuple[int, ...]]]:
    """Of each operation of a backbone, in order: multiplications of an image, parameters, and the
    shape of what it gives for one.

    Args:
        shaping: hyperparameters that shape it; of a pretrained one there are none.
    """
    variant = find_variant(name)
    if variant is not None:
        network = application(variant, max(image_size, variant.minimum))
    else:
        network = family_of(name).build(name, image_size, channels, dict(shaping), None)
    macs, counts, shapes = [], [], []
    for operation in network.operations:
        shape = tuple(operation.output.shape[1:])
        weights = getattr(operation, "weights", ())
        kernels = [weight for weight in weights if len(weight.shape) > 1]
        # Each weight of a kernel meets each position of the output once.
        macs.append(float(np.prod(shape[:-1]) * sum(np.prod(kernel.shape) for kernel in kernels)))
        counts.append(sum(int(np.prod(weight.shape)) for weight in weights))
        shapes.append(shape)
    return macs, counts, shapes
