"""Makes some trials go wrong, in a process that has the folder of this file on its PYTHONPATH.

Python imports a module of this name as it starts. ``AUTOML_IMG_TEST_FAULTS`` is JSON: the kind of
fault by the number of the trial. Nothing of this is in the package.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "AUTOML_IMG_TEST_FAULTS"
_TRAINER = "automl_img.training.trainer"


def _raise(error: Exception) -> None:
    raise error


def _take(size: int) -> None:
    """Hold so many bytes for real, as a large model would."""
    held = bytearray(size)
    for place in range(0, size, 4096):
        held[place] = 1


def _once(folder: Path, fault: Callable[[], object]) -> None:
    """Of a trial that is tried again, the first time alone."""
    if not (folder / "faulted").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "faulted").touch()
        fault()


KINDS: dict[str, Callable[[Any], object]] = {
    "exception": lambda trainer: _raise(ValueError("a fault was asked for")),
    "memory": lambda trainer: _raise(MemoryError()),
    "gpu memory": lambda trainer: _raise(RuntimeError("CUDA out of memory. Tried to allocate")),
    "disk": lambda trainer: _once(
        trainer.folder, lambda: _raise(OSError(28, "No space left on device"))
    ),
    "hang": lambda trainer: time.sleep(10**6),
    "killed": lambda trainer: os.kill(os.getpid(), signal.SIGKILL),
    "killed once": lambda trainer: _once(
        trainer.folder, lambda: os.kill(os.getpid(), signal.SIGKILL)
    ),
    "takes all memory": lambda trainer: _take(4 * 10**9),
    "segfault": lambda trainer: ctypes.string_at(0),
}


def _make_faulty(trainer: Any) -> None:
    train_epoch = trainer.Trainer._train_epoch
    faults = {int(number): kind for number, kind in json.loads(os.environ[VARIABLE]).items()}

    def faulty(self: Any, epoch: int) -> Any:
        kind = faults.get(self.spec.number)
        # A retraining has the number of its trial.
        if kind == "divergence" and not self.spec.train_on_all:
            self.model.head.trainable_variables[0].assign(
                self.model.head.trainable_variables[0] * float("nan")
            )
        elif kind is not None and not self.spec.train_on_all:
            KINDS[kind](self)
        return train_epoch(self, epoch)

    trainer.Trainer._train_epoch = faulty


class _Finder:
    """Finds the module that trains as it is, and changes it once it was imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _TRAINER:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.loader is not None
        execute = found.loader.exec_module

        def execute_and_change(module: Any) -> None:
            execute(module)
            _make_faulty(module)

        found.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return found


if VARIABLE in os.environ:
    sys.meta_path.insert(0, _Finder())  # type: ignore[arg-type]
