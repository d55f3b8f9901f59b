from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from automl_img.errors import RunError
from automl_img.events import Event, Notice
from automl_img.runs import Run, create_run
from automl_img.search.history import (
    MOST_OF_A_RUN,
    best_of_runs,
    distance,
    facts_of,
    resolve,
)
from automl_img.space.dimensions import SearchSpace
from automl_img.space.portfolio import DataFacts
from automl_img.trials import Params, TrialState
from tests.search.spaces import record, space

RATES = {"optimizer.learning_rate": "1e-4..1e-1:log", "cnn.depth": "1..4"}
CNN = space(RATES)
BOTH = space({**RATES, "backbone": "cnn,resnet50", "resnet50.frozen_layers": "0,175"})


def data(
    train: int = 1000, classes: int = 10, size: int = 32, channels: int = 3, fingerprint: str = "f"
) -> dict[str, Any]:
    return {
        "splits": {"train": train, "validation": 10, "test": 10},
        "class_names": [str(number) for number in range(classes)],
        "image_size": size,
        "channels": channels,
        "fingerprint": fingerprint,
    }


def run_of(
    out: Path,
    name: str,
    trials: list[tuple[float, Params]],
    about: dict[str, Any] | None = None,
    status: str = "finished",
    started: float = 0.0,
) -> Run:
    """A run folder with trials of the given best accuracies and settings."""
    info = {"status": status, "started": started, "data": data() if about is None else about}
    run = create_run(out, name, info)
    for number, (accuracy, params) in enumerate(trials):
        run.append_trial(record(number, (0.1, accuracy, 0.1), params=params))
    return run


def rate(value: float, where: SearchSpace = CNN, **more: Any) -> Params:
    named = {name.replace("__", "."): setting for name, setting in more.items()}
    return where.nearest({"optimizer.learning_rate": value, **named})


def rates(points: list[Params]) -> list[float]:
    return [float(point["optimizer.learning_rate"]) for point in points]


def test_names_and_folders_are_found_and_each_run_counts_once(tmp_path: Path) -> None:
    one = run_of(tmp_path, "one", [])
    two = run_of(tmp_path / "elsewhere", "two", [])
    found = resolve(["one", str(two.path), str(one.path), "auto"], tmp_path)
    assert [run.path for run in found] == [one.path, two.path]


def test_auto_takes_the_runs_that_finished_the_newest_first(tmp_path: Path) -> None:
    for started, status in enumerate(["finished", "failed", "running", "interrupted", "finished"]):
        run_of(tmp_path, f"{status}-{started}", [], status=status, started=float(started))
    assert [run.name for run in resolve(["auto"], tmp_path)] == ["finished-4", "finished-0"]
    assert resolve(["auto"], tmp_path / "none yet") == []


def test_a_run_that_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    run_of(tmp_path, "one", [])
    said = "--warm-start must name runs or be auto, but there is no run 'oen' in .*: one"
    with pytest.raises(RunError, match=said):
        resolve(["one", "oen"], tmp_path)


def test_distances_count_decades_of_images_and_classes_doublings_of_size_and_channels() -> None:
    here = DataFacts(1000, 10, 32, 3)
    assert distance(here, here) == 0
    assert distance(here, DataFacts(10_000, 10, 32, 3)) == pytest.approx(1)
    assert distance(here, DataFacts(1000, 100, 32, 3)) == pytest.approx(1)
    assert distance(here, DataFacts(1000, 10, 16, 3)) == pytest.approx(1)
    assert distance(here, DataFacts(1000, 10, 32, 1)) == pytest.approx(1)
    far = DataFacts(100_000, 10, 128, 1)
    assert distance(here, far) == distance(far, here) == pytest.approx(3)


def test_the_runs_on_the_most_similar_data_come_first(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path, "larger", [(0.9, rate(1e-1))], data(train=100_000)),
        run_of(tmp_path, "near", [(0.5, rate(1e-2))], data(train=2000)),
        # The same images, though read at another size.
        run_of(tmp_path, "same", [(0.4, rate(1e-3))], data(size=128, fingerprint="here")),
        run_of(tmp_path, "grey", [(0.9, rate(1e-4))], data(channels=1)),
    ]
    points = best_of_runs(runs, data(fingerprint="here"), CNN, 9)
    assert rates(points) == pytest.approx([1e-3, 1e-2, 1e-4, 1e-1])
    assert best_of_runs(runs, data(fingerprint="here"), CNN, 2) == points[:2]
    assert best_of_runs(runs, data(), CNN, 0) == []


def test_runs_without_a_fingerprint_are_not_taken_for_the_same_data(tmp_path: Path) -> None:
    nameless = {**data(train=10**6), "fingerprint": None}
    runs = [
        run_of(tmp_path, "nameless", [(0.9, rate(1e-1))], nameless),
        run_of(tmp_path, "near", [(0.5, rate(1e-2))], data()),
    ]
    assert rates(best_of_runs(runs, {**data(), "fingerprint": None}, CNN, 9)) == [1e-2, 1e-1]


def test_a_run_gives_few_points_its_best_ones(tmp_path: Path) -> None:
    trials = [(0.1 * n, rate(10.0**-n / 2, cnn__depth=n)) for n in range(1, 5)]
    runs = [run_of(tmp_path, "one", trials), run_of(tmp_path, "two", [(0.2, rate(1e-4))])]
    points = best_of_runs(runs, data(), CNN, 9)
    assert [point["cnn.depth"] for point in points[:MOST_OF_A_RUN]] == [4, 3, 2]
    assert len(points) == MOST_OF_A_RUN + 1


def test_the_best_of_each_family_and_kind_comes_before_further_ones(tmp_path: Path) -> None:
    trials = [
        (0.9, rate(1e-2, BOTH, backbone="cnn", cnn__depth=1)),
        (0.8, rate(1e-2, BOTH, backbone="cnn", cnn__depth=2)),
        (0.3, rate(1e-3, BOTH, backbone="resnet50", resnet50__frozen_layers=175)),
        (0.2, rate(1e-4, BOTH, backbone="resnet50", resnet50__frozen_layers=0)),
    ]
    points = best_of_runs([run_of(tmp_path, "one", trials)], data(), BOTH, 9)
    assert rates(points) == pytest.approx([1e-2, 1e-3, 1e-4])
    assert [point["backbone"] for point in points] == ["cnn", "resnet50", "resnet50"]


def test_settings_that_are_nearly_alike_are_taken_once_within_a_run_and_between_runs(
    tmp_path: Path,
) -> None:
    runs = [
        run_of(tmp_path, "one", [(0.9, rate(1e-2)), (0.8, rate(1.1e-2)), (0.7, rate(1e-3))]),
        run_of(tmp_path, "two", [(0.9, rate(9e-3)), (0.8, rate(1e-2, cnn__depth=4))]),
    ]
    points = best_of_runs(runs, data(), CNN, 9)
    assert rates(points) == pytest.approx([1e-2, 1e-3, 1e-2])
    assert points[2]["cnn.depth"] == 4


def test_points_are_moved_into_the_present_space(tmp_path: Path) -> None:
    old: Params = {
        "backbone": "cnn",
        "cnn.depth": 5,
        "optimizer.learning_rate": 0.5,
        "gone.since": "x",
    }
    [point] = best_of_runs([run_of(tmp_path, "one", [(0.9, old)])], data(), CNN, 9)
    CNN.validate(point)
    assert (point["cnn.depth"], point["optimizer.learning_rate"]) == (4, 0.1)


def test_trials_of_a_backbone_that_is_not_offered_are_passed_over(tmp_path: Path) -> None:
    trials = [
        (0.9, rate(1e-2, BOTH, backbone="resnet50")),
        (0.5, rate(1e-3, BOTH, backbone="cnn")),
    ]
    [point] = best_of_runs([run_of(tmp_path, "one", trials)], data(), CNN, 9)
    assert rates([point]) == pytest.approx([1e-3])


def test_failed_trials_count_only_where_they_reached_something(tmp_path: Path) -> None:
    run = run_of(tmp_path, "one", [(0.5, rate(1e-3))])
    run.append_trial(record(1, (), TrialState.FAILED, params=rate(1e-1)))
    assert rates(best_of_runs([run], data(), CNN, 9)) == pytest.approx([1e-3])


SPOILED: dict[str, tuple[str, str]] = {
    "no data": ("run.json", json.dumps({"status": "finished"})),
    "no such classes": ("run.json", json.dumps({"data": {**data(), "class_names": None}})),
    "no image": ("run.json", json.dumps({"data": data(train=0)})),
    "torn": ("run.json", '{"data": {'),
    "no state": ("trials.jsonl", '{"number": 0}\n'),
    "a list": ("trials.jsonl", "[1, 2]\n"),
    "no settings": (
        "trials.jsonl",
        json.dumps(record(0, (0.5,)).to_json()) + "\n",
    ),
    "not a number": (
        "trials.jsonl",
        json.dumps(record(0, (0.5,), params=rate(1e-2) | {"cnn.depth": "x"}).to_json()) + "\n",
    ),
    "NaN": (
        "trials.jsonl",
        json.dumps(record(0, (0.5,), params=rate(1e-2) | {"cnn.depth": 1e999}).to_json()) + "\n",
    ),
    "not finite": (
        "trials.jsonl",
        json.dumps(record(0, (0.5,), params=rate(1e-2) | {"head.dropout": float("nan")}).to_json())
        + "\n",
    ),
    "empty": ("trials.jsonl", ""),
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED)
def test_a_run_that_is_damaged_or_foreign_is_skipped_with_a_sentence(
    tmp_path: Path, spoiled: tuple[str, str]
) -> None:
    good = run_of(tmp_path, "good", [(0.5, rate(1e-3))])
    bad = run_of(tmp_path, "bad", [])
    (bad.path / spoiled[0]).write_text(spoiled[1], encoding="utf-8")
    heard: list[Event] = []
    where = space({**RATES, "head.dropout": "0..0.5"})
    points = best_of_runs([bad, good], data(), where, 9, heard.append)
    assert rates(points) == pytest.approx([1e-3])
    [notice] = heard
    assert isinstance(notice, Notice)
    assert notice.text.startswith("the run bad is not used for the warm start: ")
    assert "\n" not in notice.text


def test_the_facts_are_those_of_the_training_images() -> None:
    assert facts_of(data(train=70)) == DataFacts(70, 10, 32, 3)
