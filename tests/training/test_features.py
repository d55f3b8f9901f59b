from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import pytest

from automl_img.data.cache import built_once
from automl_img.errors import DataError, OutOfTime
from automl_img.models.pretrained import application
from automl_img.models.weights import find_variant
from automl_img.training import features
from automl_img.training.features import ARRAY, VIEWS
from automl_img.training.graphs import GraphCache
from automl_img.training.inputs import Joined
from automl_img.training.predict import predict_rows
from automl_img.training.trainer import Trainer
from automl_img.trials import EpochResult, TrialSpec
from tests.training.trials import with_, write_pixels

PLENTY = 10**9
# Of all tests here, which only read what is in it; gone with the process.
WEIGHTS = TemporaryDirectory(prefix="weights-")


@functools.cache
def saved_weights(name: str, side: int) -> str:
    """A file of random weights that keep images apart, as Keras's initial ones do not; one for all
    tests, as a network takes long to build."""
    variant = find_variant(name)
    assert variant is not None
    network = application(variant, side)
    rng = np.random.default_rng(5)
    # What residual branches add up to must stay in the range of half precision.
    gain = 1.0 if name == "resnet50" else 2.0
    for weight in network.weights:
        if weight.name.endswith("kernel"):
            inputs = weight.shape[:2] if "depthwise" in weight.path else weight.shape[:-1]
            weight.assign(rng.normal(0, np.sqrt(gain / np.prod(inputs)), weight.shape))
        if weight.name in ("moving_mean", "beta"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    path = Path(WEIGHTS.name) / f"{name}-{side}.weights.h5"
    network.save_weights(path)
    return str(path)


def frozen_trial(
    folder: Path, name: str, cut: int, side: int = 32, per_class: int = 16, **fix: str
) -> TrialSpec:
    """A trial of two epochs on pictures, its backbone frozen up to ``cut``; features are kept."""
    spec = write_pixels(folder / f"pixels-{side}-{per_class}", per_class=per_class, size=side)
    weights = saved_weights(name, side)
    own = {
        "backbone": name,
        "weights": weights,
        f"{name}__frozen_layers": str(cut),
        "batch_size": "8",
        "augment__strength": "0",
        "optimizer__learning_rate": "1e-3",
        "optimizer__name": "sgd",
        "regularization__l2": "1e-4",
    }
    changes = {"max_epochs": 2, "weights": weights, "fix": {**own, **fix}}
    kept = {"features": str(folder / "features"), "feature_bytes": PLENTY}
    return with_(spec, folder / "trial", **changes, **kept)


def run(spec: TrialSpec, folder: Path) -> tuple[Trainer, list[EpochResult]]:
    trainer = Trainer(with_(spec, folder), GraphCache(1))
    return trainer, list(trainer.epochs())


def arrays(spec: TrialSpec) -> list[Path]:
    return sorted(Path(str(spec.features)).glob(f"*/{ARRAY}"))


CUTS = [
    ("mobilenet_v2", 116),
    ("mobilenet_v2", 154),
    ("vgg16", 15),
    ("resnet50", 143),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_kept_features_train_as_the_whole_network_does(tmp_path: Path, name: str, cut: int) -> None:
    # Slow enough that training does not blow up what half precision rounds off.
    spec = frozen_trial(tmp_path, name, cut, optimizer__learning_rate="1e-4")
    kept, results = run(spec, tmp_path / "kept")
    assert len(arrays(spec)) == 2
    assert len(kept.model.inputs[0].shape) == (2 if cut == 154 else 4)
    plain, expected = run(with_(spec, feature_bytes=0), tmp_path / "plain")
    assert plain.model.inputs[0].dtype == "uint8"
    # Features are kept in half precision, so losses agree to about three digits.
    for mine, theirs in zip(results, expected, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=0.01)
        assert mine.val_loss == pytest.approx(theirs.val_loss, rel=0.01)
    assert results[1].loss != pytest.approx(results[0].loss, rel=1e-3)
    assert kept.parameters == plain.parameters == kept.serving.count_params()
    assert plain.graphs_traced == 2
    # What is exported is the whole network, and predicts what was trained.
    rows = np.arange(12)
    found = predict_rows(kept.serving, kept.data.images, rows)
    assert np.abs(found - predict_rows(plain.serving, plain.data.images, rows)).max() < 0.05
    validation = predict_rows(kept.serving, kept.data.images, kept.data.validation)
    array, places = kept._phase.inputs.validation()
    assert np.abs(predict_rows(kept.model, array, places) - validation).max() < 0.02
    assert kept.ms_per_image is not None
    assert kept.ms_per_image > 0
    keras.backend.clear_session()


def test_later_trials_compute_nothing_whatever_their_head_is(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154)
    first, _ = run(spec, tmp_path / "first")
    [*before] = [(path, path.stat().st_mtime_ns) for path in arrays(spec)]
    assert len(before) == 2
    # One graph to compute the features, one to train on them, one to validate.
    assert first.graphs_traced == 3
    others = {"head__pooling": "max", "head__units": "4", "optimizer__name": "adam"}
    changed = dataclasses.replace(
        spec, params={**spec.params, **with_(spec, fix=_typed(spec, others)).params}
    )
    second, results = run(changed, tmp_path / "second")
    assert [(path, path.stat().st_mtime_ns) for path in arrays(spec)] == before
    assert second.graphs_traced == 2
    assert results[0].loss != first.results[0].loss
    assert second.parameters == second.serving.count_params()
    for path, _ in before:
        array = np.load(path, mmap_mode="r")
        assert array.dtype == np.float16
        assert array.shape[1:] == (2, 1280)


def _typed(spec: TrialSpec, changes: dict[str, str]) -> dict[str, str]:
    kept = ("backbone", "weights", "batch_size", "mobilenet_v2.frozen_layers", "augment.strength")
    fixed = {name.replace(".", "__"): str(spec.params[name]) for name in kept}
    return {**fixed, **changes}


def test_augmented_trials_share_a_fixed_number_of_views(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154, augment__strength="0.5")
    longer = with_(spec, max_epochs=VIEWS + 2)
    _, results = run(longer, tmp_path / "first")
    assert len(results) == VIEWS + 2
    # Views of the training images, and the validation images as they are.
    assert len(arrays(spec)) == VIEWS + 1
    contents = {np.load(path).tobytes() for path in arrays(spec)}
    assert len(contents) == VIEWS + 1
    # Another seed sees them in another order; another strength sees others.
    other, _ = run(with_(longer, seed=7), tmp_path / "second")
    assert len(arrays(spec)) == VIEWS + 1
    assert other.graphs_traced == 2
    weaker = {**spec.params, "augment.strength": 0.25}
    run(dataclasses.replace(spec, params=weaker), tmp_path / "third")
    assert len(arrays(spec)) == VIEWS + 1 + 2


def test_a_view_is_the_same_whoever_computes_it(tmp_path: Path) -> None:
    one = frozen_trial(tmp_path, "mobilenet_v2", 154, augment__strength="0.5")
    two = dataclasses.replace(one, features=str(tmp_path / "elsewhere"), seed=9)
    run(one, tmp_path / "one")
    run(two, tmp_path / "two")
    here, there = ({path.parent.name: np.load(path) for path in arrays(s)} for s in (one, two))
    assert here.keys() == there.keys()
    assert all(np.array_equal(here[name], there[name]) for name in here)


def test_retraining_adds_the_features_of_the_validation_images(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154)
    run(spec, tmp_path / "trial")
    before = arrays(spec)
    again = with_(spec, train_on_all=True, learning_rates=(1e-3, 1e-3))
    trainer, results = run(again, tmp_path / "winner")
    assert arrays(spec) == before
    assert [each.val_accuracy for each in results] == [None, None]
    plain, expected = run(with_(again, feature_bytes=0), tmp_path / "plain")
    assert [each.loss for each in results] == pytest.approx(
        [each.loss for each in expected], rel=0.02
    )
    assert trainer.serving.count_params() == plain.serving.count_params()


def test_what_needs_more_room_than_there_is_trains_plainly_and_says_so(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154)
    images, bytes_each = 48, 2 * 2 * 1280
    assert images * bytes_each == 245_760
    little = with_(spec, feature_bytes=images * bytes_each - 1)
    trainer, _ = run(little, tmp_path / "little")
    assert arrays(spec) == []
    assert trainer.notice is not None
    assert trainer.notice == (
        "the features of mobilenet_v2 frozen up to layer 154 need 0.2 MB, more than "
        "--feature-cache has (0.2 MB), so its trials run the frozen part in every epoch"
    )
    enough, _ = run(with_(spec, feature_bytes=images * bytes_each), tmp_path / "enough")
    assert enough.notice is None
    assert len(arrays(spec)) == 2


def test_the_least_recently_used_features_make_room_for_new_ones(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154)
    # Room for two trials of the three.
    spec = with_(spec, feature_bytes=2 * 48 * 2 * 2 * 1280)
    trials = [
        dataclasses.replace(spec, params={**spec.params, "augment.strength": strength})
        for strength in (0.0, 0.5, 1.0)
    ]
    one = [with_(trial, max_epochs=1) for trial in trials]
    first, second = run(one[0], tmp_path / "0"), run(one[1], tmp_path / "1")
    kept = set(arrays(spec))
    assert len(kept) == 3
    run(one[0], tmp_path / "0 again")
    run(one[2], tmp_path / "2")
    left = set(arrays(spec))
    # The view of the second trial went; the training images of the first were used after it.
    assert len(left - kept) == 1
    assert len(kept - left) <= 1
    assert first[1][0].loss != second[1][0].loss


def test_a_disk_without_room_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154)

    def full(path: Path, needed: int) -> None:
        raise DataError("no room")

    monkeypatch.setattr(features, "check_space", full)
    trainer, results = run(spec, tmp_path / "trial")
    assert len(results) == 2
    assert "need 0.2 MB, more than the disk of the cache has" in str(trainer.notice)


@pytest.mark.parametrize("written", [0, 2], ids=["validation", "second epoch"])
def test_a_disk_that_fills_up_under_a_trial_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154, augment__strength="0.5")
    left = [written]

    def fills(folder: Path, build: Callable[[Path], dict[str, object]], **options: Any) -> object:
        if not folder.exists():
            left[0] -= 1
        if left[0] < 0 and not folder.exists():
            raise DataError("the cache must be writable, but No space left on device")
        return built_once(folder, build, **options)

    monkeypatch.setattr(features, "built_once", fills)
    trainer, results = run(spec, tmp_path / "trial")
    assert len(results) == 2
    assert len(arrays(spec)) == written
    # With a view of the first epoch there is something to go on with.
    assert (trainer.notice is None) == (written == 2)
    assert (trainer.model.inputs[0].dtype == "uint8") == (written < 2)


def test_the_head_trains_alone_on_kept_features_and_the_rest_follows(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 116, fine_tune__head_epochs="1")
    spec = with_(spec, max_epochs=3)
    kept, results = run(spec, tmp_path / "kept")
    # Of the pooled end and of the cut, for the training and the validation images.
    assert sorted(np.load(path).ndim for path in arrays(spec)) == [3, 3, 4, 4]
    plain, expected = run(with_(spec, feature_bytes=0), tmp_path / "plain")
    for mine, theirs in zip(results, expected, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=0.02)
    assert results[1].learning_rate < results[0].learning_rate
    torn = with_(spec, tmp_path / "torn")
    for result in Trainer(torn, checkpoint_seconds=0).epochs():
        if result.epoch == 2:
            break
    resumed = list(Trainer(torn).epochs())
    assert [each.epoch for each in resumed] == [2, 3]
    assert resumed[1].loss == pytest.approx(results[2].loss, rel=1e-3)
    # Where features cannot be kept any more, the checkpoint is of other variables.
    for result in Trainer(with_(torn, tmp_path / "again"), checkpoint_seconds=0).epochs():
        if result.epoch == 2:
            break
    anew = list(Trainer(with_(torn, tmp_path / "again", feature_bytes=0)).epochs())
    assert [each.epoch for each in anew] == [2, 3]
    assert plain.parameters == kept.parameters


@pytest.mark.parametrize("room", [PLENTY, 0], ids=["kept features", "images"])
def test_a_winner_whose_head_was_best_alone_is_the_whole_network(tmp_path: Path, room: int) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 116, fine_tune__head_epochs="2")
    winner = with_(spec, train_on_all=True, max_epochs=1, feature_bytes=room)
    trainer, _ = run(winner, tmp_path / "winner")
    found = predict_rows(trainer.serving, trainer.data.images, np.arange(6))
    assert found.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    inputs = trainer._phase.inputs.batches(0)
    batch, _ = inputs.batch(0, 0)
    assert len(trainer.model.trained) == 1
    assert len(batch) == 8
    variant = find_variant("mobilenet_v2")
    assert variant is not None
    network = application(variant, 32)
    network.load_weights(spec.weights)
    backbone = trainer.serving.get_layer("backbone")
    loaded = [np.array(weight) for weight in network.get_weights()]
    served = [np.array(weight) for weight in backbone.get_weights()]
    assert sum(each.sum() for each in served) == pytest.approx(
        sum(each.sum() for each in loaded), rel=1e-5
    )


def test_features_that_take_longer_than_there_is_time_end_their_trial_and_no_retraining(
    tmp_path: Path,
) -> None:
    spec = dataclasses.replace(frozen_trial(tmp_path, "mobilenet_v2", 154), deadline=0.0)
    with pytest.raises(OutOfTime):
        Trainer(spec)
    assert not arrays(spec)
    winner = dataclasses.replace(spec, train_on_all=True, folder=str(tmp_path / "winner"))
    assert list(Trainer(winner).epochs()) == []
    assert arrays(spec)


def test_other_weights_give_other_features(tmp_path: Path) -> None:
    spec = frozen_trial(tmp_path, "mobilenet_v2", 154)
    # Other tests read the file of the trial.
    own = tmp_path / "own.weights.h5"
    shutil.copy(str(spec.weights), own)
    spec = with_(spec, weights=str(own))
    run(spec, tmp_path / "one")
    network = application(find_variant("mobilenet_v2"), 32)  # type: ignore[arg-type]
    network.save_weights(own)
    run(spec, tmp_path / "two")
    assert len(arrays(spec)) == 4


class Neighbour:
    """Another node, whose cache of features is a folder.

    Attributes:
        gives: whether fetching is cheaper than computing, which shows once a part is there.
    """

    def __init__(self, root: Path, gives: bool = True) -> None:
        self.root, self.gives = root, gives
        self.told: dict[str, dict[str, Any]] = {}

    def facts(self, name: str) -> dict[str, Any] | None:
        path = self.root / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def bring(self, name: str, target: Path, look: Callable[[], None]) -> dict[str, Any] | None:
        look()
        if not (self.root / name).exists():
            return None
        shutil.copy(self.root / name / target.name, target)
        if not self.gives:
            target.write_bytes(target.read_bytes()[:-1000])
            return None
        return {**json.loads((self.root / name / "meta.json").read_text()), "from": "b"}

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        self.told[name] = facts


@pytest.mark.parametrize("gives", [True, False])
def test_features_come_from_another_node_or_are_computed(tmp_path: Path, gives: bool) -> None:
    spec = frozen_trial(tmp_path, "vgg16", 19)
    nobody = Neighbour(tmp_path / "nobody")
    first = Trainer(spec, others=nobody)
    kept = Path(str(spec.features))
    # Two arrays, and what is known of the frozen part.
    names = [path.parent.name for path in arrays(spec)] + [
        path.stem for path in kept.glob("*.json")
    ]
    assert sorted(nobody.told) == sorted(names)
    assert len(names) == 3
    assert all(facts.get("seconds", 1) > 0 for facts in nobody.told.values())
    there = dataclasses.replace(spec, features=str(tmp_path / "there"))
    other = Neighbour(kept, gives)
    second = Trainer(there, others=other)
    assert other.told.keys() == nobody.told.keys()
    for path in arrays(spec):
        name = path.parent.name
        assert np.array_equal(np.load(path), np.load(tmp_path / "there" / name / ARRAY))
        assert other.told[name].get("from") == ("b" if gives else None)
    assert first._phase.inputs.traced == 1
    assert second._phase.inputs.traced == (0 if gives else 1)
    assert second.parameters == first.parameters


def test_arrays_that_are_joined_are_read_as_one() -> None:
    parts = [np.arange(6).reshape(3, 2), np.arange(6, 16).reshape(5, 2)]
    joined = Joined(parts)
    whole = np.concatenate(parts)
    assert (joined.shape, len(joined), joined.dtype) == (whole.shape, 8, whole.dtype)
    rows = np.array([7, 0, 2, 3, 3, 6])
    assert np.array_equal(joined[rows], whole[rows])
