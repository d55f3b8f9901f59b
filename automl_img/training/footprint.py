"""The memory that training a model takes, told from its layers before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import keras

from automl_img.errors import TooLarge
from automl_img.models.network import TrainingModel
from automl_img.training.costs import Footprint, too_large
from automl_img.training.peak import GROWTH
from automl_img.trials import TrialSpec

_BYTES = {"bfloat16": 2, "float16": 2, "uint8": 1}
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


def memory_facts(model: TrainingModel, trained: bool) -> dict[str, float]:
    """What ``automl_img.trials.TrialRecord.memory`` tells; what was held, where it was trained."""
    facts: dict[str, float] = dataclasses.asdict(footprint(model))
    grown = GROWTH.bytes() if trained else None
    return facts if grown is None else {**facts, "grown_bytes": grown}


def check_fits(model: TrainingModel, spec: TrialSpec) -> None:
    """
    Raises:
        TooLarge: training ``model`` would need more memory than the trial may take.
    """
    most = spec.memory_bytes
    needs = footprint(model).of(int(spec.params["batch_size"])) if most else 0
    if needs > most:
        raise TooLarge(too_large(needs, most), memory_facts(model, trained=False))


def _count(variables: Iterable[Any]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _outputs(model: keras.Model) -> Iterator[int]:
    """Bytes that each layer of ``model`` gives for one image."""
    for operation in model.operations:
        if isinstance(operation, keras.Model):
            yield from _outputs(operation)
            continue
        for tensor in keras.tree.flatten(_given(operation)):
            size = _BYTES.get(keras.backend.standardize_dtype(tensor.dtype), 4)
            yield size * math.prod(side or 1 for side in tensor.shape[1:])


def _given(operation: Any) -> Any:
    """What an operation of a functional model gives where it is used first."""
    return operation._inbound_nodes[0].output_tensors if operation._inbound_nodes else []
