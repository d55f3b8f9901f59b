"""Peers train for real, and leave a model when they are killed."""

from __future__ import annotations

import dataclasses
import importlib
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

# The others share the code of these two.
PEERS = ("one sensible default", "KerasTuner Hyperband")

# A cell is over as soon as a good model is kept; this is for a machine that never gets there.
MOST = 240.0
# Of the validation images; chance is 0.1.
GOOD = 0.4
# A peer in its process group, which is killed with it.
UNTIL_GOOD = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
best, peer = Path(sys.argv[1]), subprocess.Popen(sys.argv[3:])
while peer.poll() is None:
    if best.exists() and json.loads(best.read_text())["val_accuracy"] >= float(sys.argv[2]):
        os.killpg(0, signal.SIGKILL)
    time.sleep(0.1)
sys.exit(peer.returncode)
"""


@pytest.fixture
def colours(contest: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generated images of the small track, whose classes differ in colour, on any machine."""
    monkeypatch.setattr(contest.cells.frame, "_CIFAR10", tmp_path / "missing.zip")
    return contest.tracks.data_of(contest.tracks.SMALL, 0, tmp_path / "data")


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_trains_and_leaves_a_model_when_it_is_killed(
    contest: SimpleNamespace, colours: Any, name: str
) -> None:
    peer = contest.roster.all_systems()[name]

    def start(task: Any) -> list[str]:
        best = str(Path(task.folder) / "best" / "best.json")
        return [sys.executable, "-c", UNTIL_GOOD, best, str(GOOD), *peer.start(task)]

    system = dataclasses.replace(peer, start=start)
    found = contest.cells.run_cell(system, "small", 0, MOST, colours, None)
    assert (found.error, found.ended) == (None, f"exit code {-signal.SIGKILL}")
    assert found.validation == max(value for _, value in found.curve)
    assert found.validation >= GOOD
    assert found.accuracy > 0.2


@pytest.mark.slow
def test_the_head_alone_trains_first_where_a_point_asks_for_it(
    contest: SimpleNamespace, small: Any, tmp_path: Path
) -> None:
    import keras
    from contest import fitting

    from automl_img.models.pretrained import application
    from automl_img.models.weights import find_variant

    variant = find_variant("mobilenet_v3_small")
    assert variant is not None
    application(variant, 32).save(tmp_path / variant.weights_file)
    values = ("x", "transfer", 0, 9.0, time.time(), str(tmp_path), "", small.arrays, "")
    task = contest.task.Task(*values, small.class_names, small.facts, str(tmp_path))
    space = contest.tracks.TRACKS["transfer"].search_space()
    params = space.nearest({"mobilenet_v3_small.frozen_layers": 0, "fine_tune.head_epochs": 1})
    model, data = fitting.build(task, params), fitting.load(task)
    seen: list[list[bool]] = []

    def look(epoch: int, logs: Any) -> None:
        parts = [part.trainable for part in model.trained]
        first = model.trained[0].trainable_variables or model.trained[0].weights
        seen.append([*parts, bool(np.allclose(before, first[0]))])

    before = np.array(model.trained[0].weights[0])
    watching = keras.callbacks.LambdaCallback(on_epoch_end=look)
    fitting.fit(model, params, task, data, 2, [watching])
    assert seen == [[False, True, True], [True, True, False]]


@pytest.mark.slow
def test_pretraining_goes_on_where_it_was_cut_short(
    contest: SimpleNamespace, tmp_path: Path
) -> None:
    pretrain = importlib.import_module("pretrain")
    x = np.random.default_rng(0).integers(0, 256, (160, 32, 32, 3), dtype=np.uint8)
    y = np.arange(160) % 10
    stages = (pretrain.Stage(1, 32), pretrain.Stage(2, 64))
    first = pretrain.pretrain(x, y, tmp_path, stages[:1])
    written = pretrain.weights_file(tmp_path).stat().st_mtime_ns
    both = pretrain.pretrain(x, y, tmp_path, stages)
    assert both[:1] == first
    assert len(both) == 2
    assert pretrain.weights_file(tmp_path).stat().st_mtime_ns > written
    assert pretrain.pretrain(x, y, tmp_path, stages) == both


@pytest.mark.slow
def test_pretrained_weights_are_found_as_those_of_imagenet(
    contest: SimpleNamespace, tmp_path: Path
) -> None:
    from automl_img.models.pretrained import application, load_weights
    from automl_img.models.weights import find_variant, imagenet

    variant = find_variant("mobilenet_v3_small")
    assert variant is not None
    saved = application(variant, 64)
    saved.save(importlib.import_module("pretrain").weights_file(tmp_path))
    loaded = application(variant, 96)
    load_weights(loaded, imagenet(variant, str(tmp_path)), variant.name)
    for one, other in zip(saved.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)
