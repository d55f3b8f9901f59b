from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from automl_img.errors import Diverged, OutOfMemory, TrialFailed
from automl_img.training.guards import as_trial_failure, release_memory
from automl_img.trials import TrialSpec
from tests.training.trials import train, with_


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**12,), np.dtype("float64")),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nhint"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_lack_of_memory_is_told_apart_with_what_to_do(error: Exception) -> None:
    failure = as_trial_failure(error)
    assert isinstance(failure, OutOfMemory)
    assert failure.reason == "out of memory"
    assert "a smaller batch_size or model" in str(failure)
    assert "\n" not in str(failure)


def test_an_allocation_that_really_fails_is_lack_of_memory() -> None:
    with pytest.raises(MemoryError) as caught:
        np.ones(2**60, dtype=np.uint8)
    assert isinstance(as_trial_failure(caught.value), OutOfMemory)


def test_other_errors_keep_their_name_and_first_line() -> None:
    failure = as_trial_failure(ValueError("shapes differ\nTraceback ..."))
    assert (type(failure), failure.reason) == (TrialFailed, "error")
    assert str(failure) == "ValueError: shapes differ"
    assert str(as_trial_failure(KeyError())) == "KeyError"
    assert len(str(as_trial_failure(ValueError("x" * 5000)))) < 600


def test_a_failure_of_ours_stays_what_it_is() -> None:
    diverged = Diverged("the loss")
    assert as_trial_failure(diverged) is diverged


def test_memory_is_released_from_tensorflows_registry_too(spec: TrialSpec) -> None:
    from tensorflow.python.framework import ops

    train(with_(spec, max_epochs=1))
    registry = ops.gradient_registry._registry
    assert [name for name in registry if name.startswith("CustomGradient")] != []
    others = {name for name in registry if not name.startswith("CustomGradient")}
    release_memory()
    assert set(registry) == others


# EfficientNet and the CNN use silu, whose gradient TensorFlow registers anew for every graph.
TRIALS = """
import dataclasses, sys
from pathlib import Path
import psutil
from automl_img.training.guards import release_memory
from tests.training.trials import train, with_, write_pixels
spec = write_pixels(Path(sys.argv[1]))
for number in range(8):
    train(with_(spec, Path(sys.argv[1]) / str(number), max_epochs=1, fix={"cnn__depth": "2"}))
    if sys.argv[2] == "release":
        release_memory()
    print(psutil.Process().memory_info().rss, flush=True)
"""


def resident(folder: object, mode: str) -> list[int]:
    """Bytes after each of eight trials in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", TRIALS, str(folder), mode],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.alone
@pytest.mark.slow
def test_a_worker_does_not_grow_from_trial_to_trial(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with_release = resident(tmp_path_factory.mktemp("release"), "release")
    growth = (with_release[-1] - with_release[2]) / 5
    assert growth < 6 * 2**20, [size // 2**20 for size in with_release]
