from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from automl_img.errors import Diverged
from automl_img.models import backbones
from automl_img.plugins import leaf_names
from automl_img.training.graphs import GraphCache
from automl_img.training.trainer import Trainer
from automl_img.trials import TrialSpec
from tests.training.reuse import ONE, OTHER, losses
from tests.training.trials import CLASSES, with_, write_pixels


def check_reuse(first: TrialSpec, second: TrialSpec, folder: Path) -> None:
    """``second`` gives to the bit what it gives on its own, though ``first`` was trained before."""
    graphs = GraphCache()
    before, traced = losses(first, graphs, folder / "first")
    assert traced == 2
    after, traced = losses(second, graphs, folder / "second")
    assert traced == 0
    alone, traced = losses(second, GraphCache(), folder / "alone")
    assert traced == 2
    assert after == alone
    assert before != after
    again, traced = losses(first, graphs, folder / "again")
    assert (again, traced) == (before, 0)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_a_kept_graph_trains_as_a_newly_built_one_with_each_optimizer(
    spec: TrialSpec, tmp_path: Path, optimizer: str
) -> None:
    own = {"optimizer__name": optimizer, "head__units": "8", "augment__noise": "0.1"}
    decays = [{"optimizer__weight_decay": value} for value in ("0.3", "0.01")]
    one, other = decays if optimizer == "adamw" else ({}, {})
    check_reuse(
        with_(spec, fix={**ONE, **own, **one}, seed=3),
        with_(spec, fix={**OTHER, **own, **other, "augment__noise": "0.02"}, seed=4),
        tmp_path,
    )


# These have about as many layers as all others together.
DEEP = ("inception", "resnet", "xception")


@pytest.fixture(scope="module")
def reuse(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the script of ``tests.training.reuse`` found for each family, in two processes."""
    folder = tmp_path_factory.mktemp("reuse")
    # With more threads sums are rounded in another order each time, kept graph or not.
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")

    def found(families: Sequence[str]) -> dict[str, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.training.reuse", str(folder), *families],
            env={**os.environ, **dict.fromkeys(threads, "1")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    others = [name for name in leaf_names(backbones) if name not in DEEP]
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(found, (DEEP, others))
    return {**one, **other}


@pytest.mark.slow
@pytest.mark.parametrize("family", leaf_names(backbones))
def test_a_kept_graph_trains_as_a_newly_built_one_in_each_family(
    family: str, reuse: dict[str, dict[str, Any]]
) -> None:
    found = reuse[family]
    if family == "inception":
        # The gradients of its parallel branches are summed up in an order that each newly traced
        # graph has of its own.
        assert found["kept"][0][0] == pytest.approx(found["alone"][0][0], rel=1e-3)
    else:
        assert found["kept"] == found["alone"]
    assert found["kept"] != found["first"]
    assert found["traced"] == [2, 0, 2]


def test_what_shapes_a_graph_asks_for_another_and_the_least_recently_used_goes(
    spec: TrialSpec, tmp_path: Path
) -> None:
    graphs = GraphCache(most=2)
    plain = with_(spec, fix={})
    wider = with_(spec, fix={"cnn__filters": "9"})
    no_dropout = with_(spec, fix={"head__dropout": "0"})
    order = [plain, wider, plain, no_dropout, plain, wider]
    traced = [losses(each, graphs, tmp_path / str(place))[1] for place, each in enumerate(order)]
    assert traced == [2, 2, 0, 2, 0, 2]
    assert graphs.shrink()
    assert graphs.shrink()
    assert not graphs.shrink()
    assert losses(wider, graphs, tmp_path / "anew")[1] == 2


def test_a_trial_after_one_that_diverged_starts_from_sound_numbers(
    spec: TrialSpec, tmp_path: Path
) -> None:
    graphs = GraphCache()
    fix = {"optimizer__name": "sgd", "cnn__batch_normalization": "false"}
    wild = Trainer(with_(spec, tmp_path / "wild", fix=fix, learning_rates=(1e20,)), graphs)
    with pytest.raises(Diverged):
        list(wild.epochs())
    sound = with_(spec, fix=fix)
    after, traced = losses(sound, graphs, tmp_path / "after")
    # The one before never came to its validation.
    assert traced == 1
    assert after == losses(sound, GraphCache(), tmp_path / "alone")[0]
    assert all(math.isfinite(float(each[0])) for each in after)  # type: ignore[index]


def test_batches_of_another_size_and_other_images_need_no_other_graph(
    spec: TrialSpec, tmp_path: Path
) -> None:
    graphs = GraphCache()
    losses(spec, graphs, tmp_path / "first")
    # 7 does not divide 120, and 60 validation images are not 54.
    more = write_pixels(tmp_path / "pixels", per_class=54)
    assert losses(with_(more, fix={"batch_size": "7"}), graphs, tmp_path / "other")[1] == 0


def test_bfloat16_trains_and_serves_in_float32(spec: TrialSpec, tmp_path: Path) -> None:
    import keras

    graphs = GraphCache()
    half = with_(spec, tmp_path / "half", max_epochs=6, precision="mixed_bfloat16")
    trainer = Trainer(half, graphs)
    results = list(trainer.epochs())
    assert max(each.val_accuracy or 0 for each in results) > 0.9
    backbone = trainer.model.get_layer("backbone")
    assert backbone.compute_dtype == "bfloat16"
    activations = [each for each in backbone.layers if each.name.startswith("activation")]
    assert {each.compute_dtype for each in activations} == {"float32"}
    assert {weight.dtype for weight in trainer.serving.weights} == {"float32"}
    assert {layer.compute_dtype for layer in trainer.serving.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    # The two precisions are two graphs.
    assert losses(spec, graphs, tmp_path / "full")[1] == 2


def test_where_keras_sees_no_gpu_a_trial_for_one_trains_in_float32_and_says_so(
    spec: TrialSpec, tmp_path: Path
) -> None:
    for_one = with_(spec, tmp_path / "trial", precision="mixed_bfloat16", on_gpu=True)
    trainer = Trainer(for_one)
    assert trainer.model.get_layer("backbone").compute_dtype == "float32"
    assert "Keras sees no GPU" in str(trainer.notice)
    assert Trainer(with_(spec, tmp_path / "other")).notice is None


def test_the_number_of_classes_and_the_kind_of_images_ask_for_another_graph(
    spec: TrialSpec, tmp_path: Path
) -> None:
    graphs = GraphCache()
    losses(spec, graphs, tmp_path / "first")
    four = with_(spec, class_names=(*CLASSES, "none of these"))
    assert losses(four, graphs, tmp_path / "four")[1] == 2
    # The first one is still there.
    assert losses(spec, graphs, tmp_path / "again")[1] == 0
