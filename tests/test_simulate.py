"""The simulated searches of benchmarks/simulate.py, and the curves that they replay."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from automl_img.models.hyperparameters import declared
from automl_img.search.race import Race
from automl_img.search.rungs import Rungs
from automl_img.space.dimensions import SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.space.presets import build_space, find_preset, read_preset
from automl_img.trials import Params

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks"
CURVES = sorted((FOLDER / "curves").glob("*.json"))
LARGEST = 200_000


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the benchmarks are found as a script finds them."""
    monkeypatch.syspath_prepend(str(FOLDER))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def cnn_space() -> SearchSpace:
    return build_space("cnn", read_preset(find_preset("cnn")), declared(), {}, {})


class Straight:
    """A task in which a trial is as good as its dropout is high, from its first epoch on."""

    def __init__(self, epochs: int = 9, fails: bool = False) -> None:
        self.name, self.space, self.max_epochs = "straight", cnn_space(), epochs
        self.facts = DataFacts(images=100, classes=10, image_size=32, channels=3)
        self.best, self.chance, self.training = 0.5, 0.0, float(epochs)
        self.pool: list[Params] | None = None
        self._fails = fails

    def curve(self, params: Params, seed: int) -> Any:
        # Rising, so that early stopping does not end a trial before its last epoch.
        values = [float(params["head.dropout"]) - 0.01 * (8 - at) for at in range(self.max_epochs)]
        kept = tuple(values[:2] if self._fails else values)
        return module("simulation.tasks").Curve(kept, kept, 1.0, 0.0)


def moments(task: Any, count: int, workers: int = 1, seed: int = 0, **strategy: Any) -> list[Any]:
    events, strategies = module("simulation.events"), module("simulation.strategies")
    search = events.run(task, strategies.Strategy(**strategy), seed, workers)
    return list(itertools.islice(search, count))


def small_table(simulate: ModuleType) -> str:
    strategy = simulate.Strategy
    table = simulate.Table(
        "of a test",
        {"random": strategy("random"), "TPE": strategy("tpe", start=True, race="test")},
        sets=("made up",),
    )
    rows = simulate.compare(table, simulate.units("made up", 0, 2), {})
    return str(simulate.markdown(table, "made up", rows))


@pytest.mark.slow
def test_the_same_tasks_and_seeds_give_the_same_table() -> None:
    simulate = module("simulate")
    first = small_table(simulate)
    simulate._task.cache_clear()
    assert small_table(simulate) == first
    assert first.count("\n| ") == 4


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_seed_gives_the_same_search_and_another_one_another(sampler: str) -> None:
    first = moments(Straight(), 120, sampler=sampler)
    assert moments(Straight(), 120, sampler=sampler) == first
    assert moments(Straight(), 120, sampler=sampler, seed=1) != first


def test_without_rungs_every_trial_trains_to_its_end() -> None:
    last = moments(Straight(epochs=9), 90, stopping=False)[-1]
    assert (last.epochs, last.trials) == (90, 10)


def test_our_rungs_stop_most_trials_at_the_first_rung() -> None:
    last = moments(Straight(epochs=9), 200)[-1]
    first_rung = Rungs(9).epochs[0]
    assert 200 / 9 * 1.5 < last.trials < 200 / first_rung


def test_a_trial_that_is_promoted_goes_on_where_it_stopped() -> None:
    events, strategies = module("simulation.events"), module("simulation.strategies")
    search = events._Search(Straight(), strategies.Strategy("random", promotion=True), 0)
    epochs: dict[int, list[int]] = {}
    resumed = 0
    for _ in range(200):
        trial = search.next()
        resumed += bool(trial.epoch)
        goes_on = True
        while goes_on:
            goes_on = search.epoch_ended(trial)
            epochs.setdefault(trial.number, []).append(trial.epoch)
    assert resumed
    assert all(each == list(range(1, len(each) + 1)) for each in epochs.values())


def test_a_trial_that_fails_costs_its_epochs_and_the_search_goes_on() -> None:
    last = moments(Straight(fails=True), 30, stopping=False)[-1]
    assert (last.epochs, last.trials) == (30, 10)


def test_two_workers_do_the_same_epochs_in_half_of_the_time() -> None:
    alone, both = (moments(Straight(), 100, workers, stopping=False)[-1] for workers in (1, 2))
    assert (alone.seconds, both.seconds) == (100.0, 50.0)


def test_the_accuracy_of_the_best_looking_model_counts_not_the_highest_there_was() -> None:
    class Misleading(Straight):
        def curve(self, params: Params, seed: int) -> Any:
            curve = super().curve(params, seed)
            worth = tuple(0.5 - value for value in curve.observed)
            return module("simulation.tasks").Curve(curve.observed, worth, 1.0, 0.0)

    worths = [moment.worth for moment in moments(Misleading(), 100)]
    assert worths[-1] < worths[0]


def test_regret_is_read_before_the_limit_is_passed() -> None:
    simulate = module("simulate")
    task = Straight()
    # In the midst of the first trials, whose every epoch is better than the one before.
    task.training = 3.0
    limits = [simulate.Limit(*each) for each in (("trials", 5), ("epochs", 3), ("seconds", 1))]
    strategy = simulate.Strategy("random", stopping=False)
    found = simulate.regrets(task, strategy, 0, limits)
    seen = moments(task, 90, simulate.WORKERS, sampler="random", stopping=False)
    expected = [
        0.5 - [moment.worth for moment in seen if moment.trials <= 5][-1],
        0.5 - [moment.worth for moment in seen if moment.epochs <= 27][-1],
        0.5 - [moment.worth for moment in seen if moment.seconds <= 3][-1],
    ]
    assert found == pytest.approx(expected)


class Listed(Straight):
    """A task whose trials reach the given accuracies one after the other, then 0.2."""

    def __init__(self, *reached: float) -> None:
        super().__init__()
        self._reached = list(reached)

    def curve(self, params: Params, seed: int) -> Any:
        last = self._reached.pop(0) if self._reached else 0.2
        values = tuple(last - 0.01 * (8 - at) for at in range(self.max_epochs))
        return module("simulation.tasks").Curve(values, values, 1.0, 0.0)


def test_a_search_ends_when_it_is_stale_and_lost_what_the_rest_would_have_brought() -> None:
    stopping, strategies = module("simulation.stopping"), module("simulation.strategies")
    whole = strategies.Strategy("random", stopping=False)
    task = Listed(0.4, *[0.2] * 38, 0.5)
    early = stopping.ending(task, whole, 0, trainings=50, workers=1)
    # The first of 50 trials was the last better one for a third of the budget.
    assert early.used == pytest.approx(1 / 50 + 1 / 3, abs=0.01)
    assert early.lost == pytest.approx(0.1)
    rising = Listed(*(0.1 + 0.01 * number for number in range(50)))
    late = stopping.ending(rising, whole, 0, trainings=50, workers=1)
    assert (late.used, late.lost) == (1.0, 0.0)
    assert stopping.summary([early, late]) == {
        "ended early, %": 50.0,
        "used of the budget, %": pytest.approx(67.7, abs=0.5),
        "lost, points": 5.0,
        "lost at most, points": 10.0,
    }


def test_racing_by_test_is_the_race_of_the_project_and_others_drop_otherwise() -> None:
    strategies = module("simulation.strategies")
    assert type(strategies.racing("test", ("a", "b"))) is Race
    equal, worst = (strategies.racing(kind, ("a", "b", "c")) for kind in ("equal", "every 20"))
    for place in range(20):
        for race in (equal, worst):
            family = race.next()
            race.tried(family)
            race.ended(family, {"a": 0.9, "b": 0.8, "c": 0.1}[family])
        assert bool(worst.dropped) == (place == 19)
    assert not equal.dropped
    assert set(worst.dropped) == {"c"}


def test_curves_made_up_from_one_seed_are_the_same_and_of_the_space() -> None:
    task = module("simulation.synthetic").Synthetic(3)
    point = task.space.nearest({"backbone": "resnet50"})
    assert task.curve(point, 5) == task.curve(point, 5)
    assert task.curve(point, 5) != task.curve(point, 6)
    assert len(task.curve(point, 5).observed) == task.max_epochs
    assert task.chance < task.best <= 1


def test_too_high_a_rate_diverges_in_what_is_made_up() -> None:
    task = module("simulation.synthetic").Synthetic(3)
    wild = task.space.nearest(
        {"backbone": "cnn", "optimizer.name": "adam", "optimizer.learning_rate": 0.1}
    )
    assert len(task.curve(wild, 0).observed) < task.max_epochs


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_recorded_curves_are_small_whole_and_name_no_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    kept = json.loads(text)
    assert len(text) < LARGEST
    assert str(Path.home()) not in text
    assert "/tmp" not in text
    assert [trial["number"] for trial in kept["trials"]] == list(range(len(kept["trials"])))
    for trial in kept["trials"]:
        assert trial["failed"] or len(trial["val_accuracy"]) == kept["epochs"]


def test_curves_were_recorded_on_four_data_sets_and_of_every_kind() -> None:
    every = [json.loads(path.read_text(encoding="utf-8")) for path in CURVES]
    assert len({kept["data"]["words"] for kept in every}) >= 4
    kinds = {trial["ladder"] for kept in every for trial in kept["trials"]}
    assert kinds == {"from scratch", "frozen", "fine-tuned"}


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_a_recorded_point_is_answered_by_its_own_curve(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    task = module("simulation.tasks").Recorded(path)
    for trial in kept["trials"][:10]:
        point = task.space.nearest(trial["params"])
        assert list(task.curve(point, 0).observed) == trial["val_accuracy"]


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_a_point_is_answered_by_a_trial_of_its_backbone(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    task = module("simulation.tasks").Recorded(path)
    names = [str(name) for name in task.space["backbone"].options]
    for name in names:
        point = task.space.nearest({"backbone": name, "optimizer.learning_rate": 3e-3})
        every = [*kept["trials"], *kept.get("start", [])]
        own = [trial["val_accuracy"] for trial in every if trial["family"] == name]
        assert list(task.curve(point, 0).observed) in own


def test_more_trials_of_a_collection_begin_with_the_same_points() -> None:
    collect = module("collect")
    points = collect.points_of(cnn_space(), 9, 0)
    assert collect.points_of(cnn_space(), 5, 0) == points[:5]
    assert len({json.dumps(point) for point in points}) == 9
    assert collect.points_of(cnn_space(), 5, 1)[-1] != points[4]


@pytest.mark.slow
def test_a_collection_goes_on_where_it_was(tmp_path: Path) -> None:
    collect = module("collect")
    asked = {"into": tmp_path, "epochs": 2, "seconds": 600.0, "seed": 0}
    first, *start = collect.collect("digits", count=1, **asked)
    [second] = collect.collect("digits", count=2, **asked)
    kept = json.loads((tmp_path / "digits.json").read_text(encoding="utf-8"))
    assert kept["trials"] == [first, second]
    # The start set of a search on such data is there once, however often it is gone on with.
    assert kept["start"] == start
    assert start
    assert (first["number"], second["number"]) == (0, 1)
    assert len(second["val_accuracy"]) == 2
    assert kept["data"]["classes"] == 10
