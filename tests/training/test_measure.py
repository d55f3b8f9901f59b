"""What a configuration costs: told from its layers, and measured on this machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from automl_img.models.network import ImageFacts, serving_model, training_model
from automl_img.models.pretrained import application
from automl_img.models.weights import find_variant
from automl_img.search.hardware import own_memory
from automl_img.training import inputs, measure
from automl_img.training.graphs import GraphCache
from automl_img.training.measure import measure_step
from automl_img.training.trainer import Trainer
from automl_img.training.work import work_of
from automl_img.trials import TrialSpec
from tests.training.trials import params_of, with_, write_pixels

NAME = "mobilenet_v3_small"
FACTS = ImageFacts(16, 3, 3, flips=True)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> TrialSpec:
    """A trial on the smallest network with weights from a file, its features kept."""
    folder = tmp_path_factory.mktemp("pretrained")
    variant = find_variant(NAME)
    assert variant is not None
    weights = folder / "mine.weights.h5"
    application(variant, 32).save_weights(weights)
    spec = write_pixels(folder / "pixels", per_class=12, size=32)
    return dataclasses.replace(
        spec, weights=str(weights), features=str(folder / "features"), feature_bytes=10**9
    )


def frozen(spec: TrialSpec, layers: int, **fix: str) -> TrialSpec:
    own = {"backbone": NAME, f"{NAME}.frozen_layers": str(layers), "batch_size": "8"}
    return dataclasses.replace(spec, params=params_of(**own, **fix))


def test_the_multiplications_of_a_convolution_are_those_of_its_kernel_at_each_pixel(
    spec: TrialSpec,
) -> None:
    [work] = work_of(spec)
    # One block of two: 3 x 3 x 3 x 8 at 16 x 16 pixels; then 8 features to 3 classes.
    assert work.trained == pytest.approx(16 * 16 * 3 * 3 * 3 * 8 + 8 * 3, abs=8 * 5)
    assert (work.frozen, work.kept, work.feature_bytes) == (0, False, 0)
    assert work.step == 3 * work.trained
    wide = with_(spec, fix={"cnn__filters": "16"})
    assert work_of(wide)[0].trained == pytest.approx(2 * work.trained, rel=0.01)


def test_the_parameters_are_those_of_the_classifier(spec: TrialSpec) -> None:
    for fix in ({}, {"head__units": "32"}, {"cnn__depth": "2"}):
        params = params_of(**fix)
        [work] = work_of(dataclasses.replace(spec, params=params))
        model = serving_model(params, FACTS, None, training_model(params, FACTS, None))
        assert work.parameters == model.count_params()


def test_trials_share_a_graph_where_the_worker_says_so(spec: TrialSpec) -> None:
    one = work_of(with_(spec, fix={"optimizer__learning_rate": "0.1"}))[0]
    assert work_of(with_(spec, fix={"optimizer__learning_rate": "0.01"}))[0].graph == one.graph
    assert work_of(with_(spec, fix={"cnn__filters": "16"}))[0].graph != one.graph


def test_what_is_frozen_is_kept_as_far_as_there_is_room(pretrained: TrialSpec) -> None:
    spec = frozen(pretrained, 121, augment__strength="0")
    [kept] = work_of(spec)
    assert kept.kept
    assert kept.step == 3 * kept.trained
    [without] = work_of(dataclasses.replace(spec, feature_bytes=kept.feature_bytes - 1))
    assert not without.kept
    assert without.feature_bytes == kept.feature_bytes
    assert without.step == 3 * kept.trained + kept.frozen
    [whole] = work_of(frozen(pretrained, 175))
    assert whole.frozen > kept.frozen
    assert whole.views == 3
    assert whole.image_bytes == 2 * 2 * 576


@pytest.mark.slow
def test_the_features_told_are_those_that_a_trial_writes(
    pretrained: TrialSpec, tmp_path: Path
) -> None:
    spec = frozen(pretrained, 121, augment__strength="0")
    spec = with_(spec, tmp_path / "trial", features=str(tmp_path / "features"))
    list(Trainer(spec).epochs())
    arrays = [np.load(path) for path in (tmp_path / "features").glob("*/features.npy")]
    assert sum(array.nbytes for array in arrays) == work_of(spec)[0].feature_bytes


def test_the_epochs_of_the_head_alone_are_a_phase_of_their_own(pretrained: TrialSpec) -> None:
    spec = frozen(pretrained, 121, fine_tune__head_epochs="2")
    first, second = work_of(spec)
    assert (first.epochs, second.epochs) == (2, 1)
    assert first.params[f"{NAME}.frozen_layers"] == 175
    assert second.params == spec.params
    assert first.trained < second.trained
    assert [work.epochs for work in work_of(dataclasses.replace(spec, max_epochs=1))] == [1]


def test_a_measured_step_tells_what_each_part_takes(spec: TrialSpec) -> None:
    inputs._mapped.cache_clear()
    cost = measure_step(spec, GraphCache())
    assert cost.batch_size == 16
    assert cost.validation_batch == 60
    assert cost.first_seconds > 5 * cost.step_seconds > 0
    assert (cost.forward_seconds, cost.forward_first_seconds) == (0, 0)
    assert cost.peak_bytes > 0.9 * own_memory()
    assert not Path(spec.folder).exists()


def test_what_a_step_takes_without_images_is_on_the_line_through_two_batch_sizes() -> None:
    assert measure._intercept(4, 0.5, 16, 1.1) == pytest.approx(0.3)
    assert measure._intercept(16, 1.1, 16, 1.1) == 0
    # Whatever the clock says, it is no time below zero and no longer than the step.
    assert measure._intercept(4, 0.1, 16, 1.1) == 0
    assert measure._intercept(4, 1.2, 16, 1.1) == 1.1


def test_a_graph_that_is_kept_costs_nothing_again(spec: TrialSpec) -> None:
    graphs = GraphCache()
    first = measure_step(spec, graphs)
    again = min(measure_step(spec, graphs).first_seconds for _ in range(2))
    assert again < first.first_seconds / 3


@pytest.mark.slow
def test_of_kept_features_the_pass_through_the_frozen_part_is_told_apart(
    pretrained: TrialSpec,
) -> None:
    cost = measure_step(frozen(pretrained, 175), GraphCache())
    assert cost.forward_seconds > 0
    assert cost.forward_first_seconds > cost.forward_seconds
    # Nobody else's features are touched, and none are left.
    assert not Path(str(pretrained.features)).exists()
    images = measure_step(
        dataclasses.replace(frozen(pretrained, 175), feature_bytes=0), GraphCache()
    )
    assert images.forward_seconds == 0
    assert images.step_seconds > cost.step_seconds


@pytest.mark.parametrize(("seconds", "steps"), [(30.0, [1]), (0.01, [1, 1, 2, 2, 2])])
def test_a_step_that_takes_long_is_measured_once(
    seconds: float, steps: list[int], spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def timed(_spec: TrialSpec, _steps: object, _batches: object, count: int) -> float:
        asked.append(count)
        return seconds

    monkeypatch.setattr(measure, "_of_steps", timed)
    assert measure._steady(spec, None, range(2)) == seconds  # type: ignore[arg-type]
    assert asked == steps
