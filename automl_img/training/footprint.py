"""The memory that training a model takes, told from its layers before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import keras

from automl_img.errors import TooLarge
from automl_img.models.network import TrainingModel, head_alone
from automl_img.training.costs import Footprint, estimate, too_large
from automl_img.training.inputs import TrialImages
from automl_img.training.peak import GROWTH
from automl_img.trials import TrialSpec

_BYTES = {"bfloat16": 2, "float16": 2, "uint8": 1}
# Of the memory that a trial may take.
_MUCH = 0.2
_footprints: WeakKeyDictionary[TrainingModel, Footprint] = WeakKeyDictionary()


def footprint(model: TrainingModel) -> Footprint:
    """An estimate for ``model``: every output of a layer that learns is kept until the gradients
    have come back to it; of what is frozen only the largest, for a moment."""
    if model not in _footprints:
        _footprints[model] = _footprint(model)
    return _footprints[model]


def _footprint(model: TrainingModel) -> Footprint:
    learnt, every = _count(model.trainable_variables), _count(model.weights)
    slots = _count(model.optimizer.variables)
    outputs = [size for part in model.trained for size in _outputs(part)]
    largest = max(_outputs(model), default=0)
    return Footprint(4 * (every + learnt + slots), sum(outputs) + 2 * largest)


def takes_much(spec: TrialSpec, model: TrainingModel) -> bool:
    """Whether training ``model`` needs so much of what the trial may take that it is to be told
    before it begins."""
    needs = _known_footprint(spec, model).of(_batch(spec))
    return bool(spec.memory_bytes) and needs > _MUCH * spec.memory_bytes


def memory_facts(spec: TrialSpec, model: TrainingModel, trained: bool) -> dict[str, float]:
    """What ``automl_img.trials.TrialRecord.memory`` tells; what was held only where it has trained,
    and where not its head alone."""
    facts: dict[str, float] = dataclasses.asdict(_known_footprint(spec, model))
    grown = GROWTH.bytes() if trained and not _is_head_alone(spec, model) else None
    return facts if grown is None else {**facts, "grown_bytes": grown}


def check_fits(model: TrainingModel, spec: TrialSpec) -> None:
    """
    Raises:
        TooLarge: training ``model`` would need more memory than the trial may take.
    """
    needs, most = footprint(model), spec.memory_bytes
    size = needs.of(_batch(spec))
    if most and size > most:
        raise TooLarge(too_large(size, most), dataclasses.asdict(needs))


def _known_footprint(spec: TrialSpec, model: TrainingModel) -> Footprint:
    """Of the whole network, whatever of it ``model`` is."""
    return _whole_footprint(spec) if _is_head_alone(spec, model) else footprint(model)


def _batch(spec: TrialSpec) -> int:
    """Images of a step: all of them where they are fewer than a batch."""
    return min(int(spec.params["batch_size"]), sum(map(len, TrialImages(spec).parts)))


def _is_head_alone(spec: TrialSpec, model: TrainingModel) -> bool:
    return head_alone(spec.params) is not None and len(model.trained) == 1


def _whole_footprint(spec: TrialSpec) -> Footprint:
    """Of a network that is not built as a whole."""
    facts = TrialImages(spec).facts(spec)
    return estimate(spec.params, facts.image_size, facts.channels, spec.precision)


def _count(variables: Iterable[Any]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _outputs(model: keras.Model) -> Iterator[int]:
    """Bytes that each layer of ``model`` gives for one image."""
    # ConvNeXt has Sequential models inside, which name their layers alone.
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            yield from _outputs(operation)
            continue
        for tensor in keras.tree.flatten(_given(operation)):
            size = _BYTES.get(keras.backend.standardize_dtype(tensor.dtype), 4)
            yield size * math.prod(side or 1 for side in tensor.shape[1:])


def _given(operation: Any) -> Any:
    """What an operation of a functional model gives where it is used first."""
    return operation._inbound_nodes[0].output_tensors if operation._inbound_nodes else []
