"""The state of a trial after an epoch, so that another process can go on with the next one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.files import replacing
from automl_img.trials import EpochResult

FILE = "checkpoint.npz"


def save(folder: Path, model: Any, results: list[EpochResult]) -> None:
    """Keep weights, optimizer state and results; the file is whole or the old one stays."""
    arrays: dict[str, Any] = {
        f"v{place}": np.asarray(value) for place, value in enumerate(_state(model))
    }
    text = json.dumps([dataclasses.asdict(result) for result in results])
    with replacing(folder / FILE) as temporary:
        np.savez(temporary, results=np.array(text), **arrays)


def saved_results(folder: Path) -> list[EpochResult]:
    """The results up to the checkpoint in ``folder``; empty where there is none."""
    if not (folder / FILE).exists():
        return []
    with np.load(folder / FILE, allow_pickle=False) as arrays:
        return [EpochResult(**values) for values in json.loads(str(arrays["results"]))]


def restore(folder: Path, model: Any) -> None:
    """Put the kept weights and optimizer state into ``model``, built and compiled as when saved."""
    with np.load(folder / FILE, allow_pickle=False) as arrays:
        for place, variable in enumerate(_variables(model)):
            variable.assign(arrays[f"v{place}"])


def remove(folder: Path) -> None:
    (folder / FILE).unlink(missing_ok=True)


def _state(model: Any) -> list[Any]:
    from keras import ops

    return [ops.convert_to_numpy(variable) for variable in _variables(model)]


def _variables(model: Any) -> list[Any]:
    # The optimizer makes its variables at the first step, unless asked.
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
