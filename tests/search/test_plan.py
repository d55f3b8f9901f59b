"""What a search will cost: told between what was measured, simulated, and put together."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from automl_img.budget import Budget
from automl_img.errors import OutOfMemory, TrialFailed
from automl_img.search.costs import Costs, PhaseCost, group_of, to_measure
from automl_img.search.forecast import EPOCH_SECONDS, TRIAL_SECONDS, Candidate, simulate
from automl_img.search.measuring import Measuring
from automl_img.search.plan import plan_search
from automl_img.search.resources import share
from automl_img.search.rungs import Rungs
from automl_img.search.survey import sample
from automl_img.settings import SearchSettings
from automl_img.training.costs import StepCost, Work
from automl_img.trials import Params
from tests.search.spaces import space
from tests.training.trials import write_pixels

WORK = Work({}, 9, "graph", 1e6, 0.0, False, "", 1, 0, 0, 1000)
STEP = StepCost(2.0, 0.1, 0.05, 32, 0.02, 0.1, 128, 0.0, 0.0, 1000, 10**9)


def work(trained: float, batch_size: int = 32, backbone: str = "cnn", **more: object) -> Work:
    params: Params = {"backbone": backbone, "batch_size": batch_size}
    return dataclasses.replace(WORK, params=params, trained=trained, **more)  # type: ignore[arg-type]


def candidate(epoch: float = 1.0, graph: str = "graph", traced: float = 0.0) -> Candidate:
    own = dataclasses.replace(work(1e6), graph=graph)
    return Candidate(own.params, (PhaseCost(own, epoch, 0.0, 0.0, traced, 0.0, 0.0, 0.0),))


def course(*candidates: Candidate, budget: str = "9", workers: int = 1, seed: int = 0):  # type: ignore[no-untyped-def]
    parsed = Budget.parse(budget)
    return simulate(candidates, (), parsed, lambda: Rungs(9), 9, workers, seed)


def test_between_measured_configurations_time_follows_the_multiplications() -> None:
    costs = Costs(train=320, validation=128)
    for trained, image in ((1e6, 1e-3), (1e8, 5e-2)):
        step = dataclasses.replace(STEP, step_seconds=0.02 + 32 * image)
        costs.measured.append((work(trained), step))
    assert costs.of(work(1e6)).train == pytest.approx(10 * (0.02 + 32e-3))
    assert costs.of(work(1e8)).train == pytest.approx(10 * (0.02 + 1.6))
    # At 10 million: the mean of 1 and of 0.5 ns a multiplication.
    assert costs.of(work(1e7)).train == pytest.approx(10 * (0.02 + 32 * 7.5e-3))
    assert costs.of(work(1e6, batch_size=320)).train == pytest.approx(0.02 + 0.32)
    assert costs.of(work(1e6)).validation == pytest.approx(0.1)
    assert costs.of(work(1e6), train=32).train == pytest.approx(0.02 + 32e-3)


def test_what_was_not_measured_follows_from_its_likes() -> None:
    costs = Costs(320, 128)
    with pytest.raises(ValueError, match="measured"):
        costs.of(work(1e6))
    costs.measured.append((work(1e6), STEP))
    assert costs.of(work(1e6, backbone="vgg19")) == dataclasses.replace(
        costs.of(work(1e6)), work=work(1e6, backbone="vgg19")
    )


def test_what_failed_is_taken_to_fail_where_it_is_no_cheaper() -> None:
    costs = Costs(320, 128)
    costs.failed.append((work(1e8, batch_size=64), OutOfMemory("no memory")))
    assert costs.failure(work(1e9, batch_size=64)) == "no memory"
    assert costs.failure(work(1e8, batch_size=128)) == "no memory"
    assert costs.failure(work(1e8, batch_size=32)) is None
    assert costs.failure(work(1e7, batch_size=64)) is None
    assert costs.failure(work(1e9, batch_size=64, backbone="vgg19")) is None
    costs.failed.append((work(1e8, backbone="vgg19"), TrialFailed("strange weights")))
    assert costs.failure(work(1e6, batch_size=8, backbone="vgg19")) == "strange weights"


def test_the_dearest_of_each_group_is_measured_first_then_the_cheapest() -> None:
    works = [work(10.0**power) for power in np.linspace(6, 9, 20)]
    works += [work(5e7, backbone="vgg19"), work(5e7, batch_size=64, backbone="vgg19")]
    chosen = to_measure(works)
    assert [each.trained for each in chosen[:3]] == [1e9, 5e7, 1e6]
    assert len([each for each in chosen if group_of(each)[0] == "cnn"]) == 5
    assert len(chosen) == 6


def test_a_trial_alone_runs_to_its_end() -> None:
    found = course(candidate(), budget="1")
    assert (found.trials, found.epochs, found.graphs) == (1, 9, 1)
    assert found.seconds == pytest.approx(TRIAL_SECONDS + 9 * (1.0 + EPOCH_SECONDS))


def test_rungs_stop_about_two_thirds_of_many() -> None:
    found = course(candidate(), budget="300")
    # Of 300 trials all run two epochs, a third four more, a ninth the last three.
    assert found.epochs == pytest.approx(300 * 2 + 100 * 4 + 33 * 3, rel=0.08)
    assert found.seconds == pytest.approx(found.epochs * (1 + EPOCH_SECONDS) + 300 * TRIAL_SECONDS)


def test_the_same_seed_gives_the_same_course() -> None:
    several = [candidate(epoch) for epoch in (0.1, 1.0, 10.0)]
    assert course(*several, budget="20", seed=3) == course(*several, budget="20", seed=3)
    assert course(*several, budget="20", seed=3) != course(*several, budget="20", seed=4)


def test_a_graph_is_traced_once_a_worker_as_long_as_it_is_held() -> None:
    found = course(candidate(traced=5.0), budget="6")
    assert (found.graphs, found.graph_seconds) == (1, 5.0)
    many = [candidate(graph=str(place)) for place in range(9)]
    # Nine in turn where eight are held: the one that is wanted next has just gone.
    assert course(*many, *many, budget="18").graphs == 18
    assert course(*many[:8], *many[:8], budget="16").graphs == 8
    two = course(candidate(), budget="6", workers=2)
    assert two.graphs == 2
    assert two.seconds < 0.7 * course(candidate(), budget="6").seconds


def test_features_are_computed_once_for_all_trials() -> None:
    kept = dataclasses.replace(
        work(1e3), kept=True, features="f", views=2, image_bytes=100, feature_bytes=5000
    )
    phase = PhaseCost(kept, 0.0, 0.0, 0.0, 0.0, view=4.0, view_of_validation=2.0, forward_graph=3.0)
    found = course(Candidate(kept.params, (phase,)), budget="5")
    trials = 5 * TRIAL_SECONDS + found.epochs * EPOCH_SECONDS
    # Two views, one of the validation images, and one trial that builds what computes them.
    assert found.seconds == pytest.approx(2 * 4.0 + 2.0 + 3.0 + trials)
    assert found.feature_bytes == pytest.approx(5000, abs=3)


@pytest.mark.parametrize(("budget", "low", "high"), [("60s", 60, 75), ("40epochs", 40, 49)])
def test_no_trial_starts_beyond_the_budget(budget: str, low: float, high: float) -> None:
    for seed in range(10):
        found = course(candidate(), budget=budget, seed=seed)
        spent = found.seconds if budget.endswith("s") and "e" not in budget else found.epochs
        assert low <= spent <= high


def test_a_sample_is_valid_seeded_and_has_each_family_equally_often() -> None:
    mixed = space(
        {"backbone": "cnn,mobilenet_v2,resnet50,resnet101", "batch_size": "16..64:step=16"},
        {"weights": "none"},
    )
    points = sample(mixed, 30, seed=1)
    assert points == sample(mixed, 30, seed=1) != sample(mixed, 30, seed=2)
    for point in points:
        mixed.validate(point)
    names = [str(point["backbone"]) for point in points]
    assert names.count("cnn") == names.count("mobilenet_v2") == 10
    sizes = [point["batch_size"] for point in sample(mixed, 400, seed=1)]
    assert min(map(sizes.count, (16, 32, 48, 64))) > 80


@pytest.mark.slow
def test_a_process_that_died_costs_its_configuration_alone(tmp_path: Path) -> None:
    spec = write_pixels(tmp_path, per_class=6)
    with Measuring(share(1, 0)) as measuring:
        assert measuring.work(spec)[0].params == spec.params
        assert measuring._process is not None
        measuring._process.kill()
        with pytest.raises(OutOfMemory, match="died"):
            measuring.step(spec)
        assert measuring.step(spec).step_seconds > 0
        process = measuring._process
    assert process.poll() is not None


@pytest.mark.alone
@pytest.mark.slow
def test_a_plan_measures_and_says_what_fits_without_a_run(
    photos: Path, tmp_path: Path, private_cache: Path
) -> None:
    settings = SearchSettings(
        data=str(photos),
        space="cnn_small",
        budget="12",
        max_epochs=9,
        out=str(tmp_path / "runs"),
        workers=1,
        max_params="20k",
    )
    plan = plan_search(settings)
    beyond = sum(parameters > 20_000 for parameters in plan.configurations[0].parameters)
    assert beyond
    assert any(f"{beyond} of " in words and "20,000 parameters" in words for words in plan.misfits)
    assert plan.images == {"train": 48, "validation": 6, "test": 6}
    assert 0 < plan.seconds.low <= plan.seconds.middle <= plan.seconds.high
    assert sum(plan.parts.values()) == pytest.approx(plan.seconds.middle, rel=0.1)
    assert plan.ends > plan.planned
    assert plan.trials.middle <= 12
    assert 2 * plan.trials.middle < plan.epochs.middle < 9 * plan.trials.middle
    [item] = plan.configurations
    assert (item.backbone, item.learns) == ("cnn", "from scratch")
    assert item.epoch_seconds[0] < item.epoch_seconds[1]
    assert item.memory_bytes is not None
    # The decoded images are there for the search; no run is.
    assert list(private_cache.rglob("images.npy"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.alone
@pytest.mark.slow
def test_with_a_budget_of_time_the_end_is_within_it(photos: Path) -> None:
    fixed = {"cnn.filters": "12", "cnn.depth": "2"}
    settings = SearchSettings(
        data=str(photos), space="cnn_small", fix=fixed, budget="5m", max_epochs=9
    )
    plan = plan_search(settings)
    assert 60 < plan.seconds.middle <= 300 * 1.05
    assert plan.trials.middle > 3


@pytest.mark.slow
def test_the_process_that_plans_needs_no_tensorflow(photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json; from automl_img import api\n"
        f"plan = api.plan({str(photos)!r}, space='cnn_small', budget='3', max_epochs=3)\n"
        "print(json.dumps([len(plan.configurations), sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
        timeout=300,
    )
    configurations, modules = json.loads(done.stdout.splitlines()[-1])
    assert configurations == 1
    assert not {"tensorflow", "keras", "ray"} & set(modules)
