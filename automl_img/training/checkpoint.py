"""The state of a trial after an epoch, so that another process can go on with the next one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from automl_img.files import replacing
from automl_img.trials import EpochResult

FILE = "checkpoint.npz"
BEST = "best.npz"
VALIDATION = "validation.npz"


def save(folder: Path, state: list[Any], results: list[EpochResult]) -> None:
    """Keep the variables of ``state`` and the results; the file is whole or the old one stays."""
    from keras import ops

    arrays: dict[str, Any] = {
        f"v{place}": ops.convert_to_numpy(variable) for place, variable in enumerate(state)
    }
    text = json.dumps([dataclasses.asdict(result) for result in results])
    with replacing(folder / FILE) as temporary:
        np.savez(temporary, results=np.array(text), **arrays)


def saved_results(folder: Path) -> list[EpochResult]:
    """The results up to the checkpoint in ``folder``; empty where there is none that can be read.

    It is written whole, so what cannot be read was damaged by others, or made by them.
    """
    if not (folder / FILE).exists():
        return []
    try:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            return [EpochResult(**values) for values in json.loads(str(arrays["results"]))]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return []


def restore(folder: Path, state: list[Any]) -> bool:
    """Put the kept values into the variables of ``state``.

    Returns:
        False, with nothing changed, where those that were saved are others: the trial then trained
        on kept features and now does not, or the other way round.
    """
    with np.load(folder / FILE, allow_pickle=False) as arrays:
        return _assign([arrays[name] for name in arrays.files if name != "results"], state)


def save_best(folder: Path, weights: list[Any], epoch: int) -> None:
    """Keep the weights of the best epoch so far, its number from 1.

    Not flushed to the disk: after a power cut nobody asks for them.
    """
    from keras import ops

    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        f"v{place}": ops.convert_to_numpy(variable) for place, variable in enumerate(weights)
    }
    temporary = folder / f".{BEST}"
    np.savez(temporary, epoch=np.int64(epoch), **arrays)
    temporary.replace(folder / BEST)


def best_epoch(folder: Path) -> int | None:
    """The epoch whose weights were kept, from 1."""
    if not (folder / BEST).exists():
        return None
    with np.load(folder / BEST, allow_pickle=False) as arrays:
        return int(arrays["epoch"])


def restore_best(folder: Path, weights: list[Any]) -> bool:
    """Put the weights of the best epoch into ``weights``; see ``restore``."""
    with np.load(folder / BEST, allow_pickle=False) as arrays:
        return _assign([arrays[name] for name in arrays.files if name != "epoch"], weights)


def save_validation(folder: Path, probabilities: np.ndarray) -> None:
    """Keep what a trial predicted for the validation images, float32 (images, classes)."""
    with replacing(folder / VALIDATION) as temporary:
        np.savez(temporary, probabilities=probabilities)


def validation_of(folder: Path) -> np.ndarray | None:
    """What the trial of ``folder`` predicted after its best epoch; None where nothing was kept."""
    if not (folder / VALIDATION).exists():
        return None
    with np.load(folder / VALIDATION, allow_pickle=False) as arrays:
        found: np.ndarray = arrays["probabilities"]
        return found


def remove(folder: Path) -> None:
    """Delete what a trial kept to go on with."""
    (folder / FILE).unlink(missing_ok=True)


def remove_best(folder: Path) -> None:
    """Delete what a trial kept of its best epoch."""
    for name in (BEST, VALIDATION):
        (folder / name).unlink(missing_ok=True)


def _assign(values: list[np.ndarray], variables: list[Any]) -> bool:
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        return False
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return True
