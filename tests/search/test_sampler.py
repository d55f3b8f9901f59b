from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.trial import TrialState as OptunaState
from optuna_dashboard import wsgi

from automl_img.errors import SettingsError
from automl_img.objectives import Limits, parse_objectives
from automl_img.search.grid import grid
from automl_img.search.sampler import Sampler
from automl_img.search.start import start_set
from automl_img.search.storage import open_studies
from automl_img.space.dimensions import SearchSpace
from automl_img.trials import TrialState
from tests.search.spaces import epoch, record, space

WIDE = {"optimizer.learning_rate": "1e-4..1e-1:log", "cnn.filters": "8..64", "batch_size": "32,64"}


def suggestions(path: Path, kind: str, seed: int, count: int = 8) -> list[dict[str, Any]]:
    """Ask and tell in turn, as one worker does; the score depends on the point alone."""
    sampler = Sampler(path, space(WIDE), kind, seed)
    found = []
    for _ in range(count):
        suggestion = sampler.ask(sampler.next_number)
        assert suggestion is not None
        found.append({"seed": suggestion.seed, **suggestion.params})
        score = 1 / (1 + abs(float(suggestion.params["optimizer.learning_rate"]) - 0.01))
        sampler.report(suggestion.number, epoch(1, score))
        sampler.tell(record(suggestion.number, (score,), params=suggestion.params))
    return found


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_seed_gives_the_same_suggestions_and_zero_is_a_seed(tmp_path: Path, kind: str) -> None:
    first = suggestions(tmp_path / "a.db", kind, 0)
    assert suggestions(tmp_path / "b.db", kind, 0) == first
    assert suggestions(tmp_path / "c.db", kind, 1) != first


def test_a_search_that_goes_on_does_not_repeat_its_suggestions(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    first = suggestions(path, "random", 0, 3)
    again = suggestions(path, "random", 0, 3)
    assert all(point not in first for point in again)


def test_a_point_that_is_set_is_moved_into_the_space(tmp_path: Path) -> None:
    narrow = space({"cnn.filters": "8..16", "optimizer.learning_rate": "1e-4..1e-3:log"})
    sampler = Sampler(tmp_path / "study.db", narrow, "tpe", 0)
    first = sampler.place(0, {**start_set(narrow)[0], "cnn.filters": 64}, "start set")
    assert first is not None
    assert first.origin == "start set"
    assert first.params["cnn.filters"] == 16
    assert first.params["optimizer.learning_rate"] == pytest.approx(1e-3)


def test_a_point_is_tried_once_and_a_spent_space_says_so(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "study.db", space({"batch_size": "16,32,64"}), "random", 0)
    seen = []
    while (suggestion := sampler.ask(sampler.next_number)) is not None:
        seen.append(suggestion.params["batch_size"])
        sampler.tell(record(suggestion.number, (0.5,), params=suggestion.params))
    assert sorted(seen) == [16, 32, 64]
    [study] = open_studies(tmp_path / "study.db")
    assert all(trial.state.is_finished() for trial in study.trials)


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_small_space_is_tried_to_its_last_point(tmp_path: Path, kind: str) -> None:
    small = space({"batch_size": "16,32,64", "cnn.depth": "1..4", "cnn.kernel_size": "3,5"})
    sampler = Sampler(tmp_path / "study.db", small, kind, 0)
    tried = 0
    while (suggestion := sampler.ask(sampler.next_number)) is not None:
        sampler.tell(record(suggestion.number, (0.5,), params=suggestion.params))
        tried += 1
    assert tried == 24


def test_a_reopened_study_knows_which_points_were_tried(tmp_path: Path) -> None:
    path, tiny = tmp_path / "study.db", space({"batch_size": "16,32"})
    sampler = Sampler(path, tiny, "random", 0)
    first = sampler.ask(sampler.next_number)
    assert first is not None
    sampler.tell(record(first.number, (0.5,), params=first.params))
    again = Sampler(path, tiny, "random", 0)
    second = again.ask(again.next_number)
    assert second is not None
    assert second.params["batch_size"] != first.params["batch_size"]


def test_the_study_holds_complete_pruned_and_failed_trials_with_their_curves(
    tmp_path: Path,
) -> None:
    sampler = Sampler(tmp_path / "study.db", space(WIDE), "random", 0)
    ends = [
        (TrialState.COMPLETE, "finished", (0.6, 0.9, 0.8)),
        (TrialState.PRUNED, "rung 2", (0.2, 0.3)),
        (TrialState.FAILED, "diverged", (0.1,)),
    ]
    for state, reason, accuracies in ends:
        suggestion = sampler.ask(sampler.next_number)
        assert suggestion is not None
        for number, accuracy in enumerate(accuracies, start=1):
            sampler.report(suggestion.number, epoch(number, accuracy))
        sampler.tell(record(suggestion.number, accuracies, state, reason, params=suggestion.params))
    complete, pruned, failed = open_studies(tmp_path / "study.db")[0].trials
    assert (complete.state, complete.value) == (OptunaState.COMPLETE, 0.9)
    assert (pruned.state, pruned.intermediate_values) == (OptunaState.PRUNED, {1: 0.2, 2: 0.3})
    assert (failed.state, failed.user_attrs["stop_reason"]) == (OptunaState.FAIL, "diverged")


def test_optuna_dashboard_opens_the_study(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    suggestions(path, "random", 0, 2)
    application = wsgi(optuna.storages.RDBStorage(f"sqlite:///{path}"))
    status: list[str] = []
    environ: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(environ)
    body = b"".join(application(environ, lambda code, *_: status.append(code)))
    assert status == ["200 OK"]
    assert [study["study_name"] for study in json.loads(body)["study_summaries"]] == ["search"]


def test_a_grid_has_every_option_and_both_ends_of_every_range() -> None:
    points = grid(space({"cnn.depth": "1..3", "batch_size": "16,32"}), 50, 0)
    assert {(p["cnn.depth"], p["batch_size"]) for p in points} == {
        (depth, size) for depth in (1, 2, 3) for size in (16, 32)
    }
    assert len(points) == 6


def test_a_grid_counts_a_branch_only_where_it_is_taken() -> None:
    conditional = space({"optimizer.name": "adam,sgd", "optimizer.momentum": "0.8..0.9"})
    points = grid(conditional, 50, 0)
    assert len(points) == 4
    assert sum(point["optimizer.name"] == "adam" for point in points) == 1


def test_a_budget_below_the_grid_takes_a_seeded_part_of_all_of_it() -> None:
    wide = space({"cnn.depth": "1..5", "batch_size": "16,32", "head.dropout": "0..0.5"})
    part = grid(wide, 8, 0)
    assert grid(wide, 8, 0) == part
    assert grid(wide, 8, 1) != part
    assert len(part) == 8
    assert len({point["cnn.depth"] for point in part}) > 1
    assert len({point["head.dropout"] for point in part}) > 1


def test_only_branches_that_are_taken_count_towards_the_size_of_a_grid() -> None:
    names = ("vgg16", "vgg19", "resnet50", "xception", "mobilenet_v2", "convnext_tiny")
    api_space = space({"backbone": ",".join(names)}, {"fine_tune.head_epochs": "0"})
    assert len(grid(api_space, 1000, 0)) == len(names)


def test_a_grid_that_is_too_large_is_refused_in_one_sentence() -> None:
    from automl_img.api import load_space

    everything: SearchSpace = load_space("everything")
    with pytest.raises(SettingsError, match="at most 10,000 points"):
        grid(everything, 50, 0)


def test_a_killed_process_loses_no_trial_that_was_told(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from automl_img.search.sampler import Sampler\n"
        "from tests.search.spaces import epoch, record, space\n"
        "sampler = Sampler(Path(sys.argv[1]), space({'cnn.filters': '8..64'}), 'random', 0)\n"
        "asked = sampler.ask(sampler.next_number)\n"
        "sampler.report(asked.number, epoch(1, 0.625))\n"
        "sampler.tell(record(asked.number, (0.625,), params=asked.params))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    [trial] = open_studies(path)[0].trials
    assert trial.state is OptunaState.COMPLETE
    assert trial.value == 0.625
    assert trial.intermediate_values == {1: 0.625}


def test_a_study_that_is_closed_is_one_file_and_waits_for_the_disk_seldom(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "study.db", space(WIDE), "random", 0)
    with sampler._studies._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    asked = sampler.ask(sampler.next_number)
    assert asked is not None
    sampler.tell(record(asked.number, (0.5,), params=asked.params))
    sampler.close()
    assert [file.name for file in tmp_path.iterdir()] == ["study.db"]


FAMILIES = {**WIDE, "backbone": "cnn,mobilenet_v2,mobilenet_v3_small,vgg19"}


def test_families_get_equal_tries_and_each_has_a_study_of_its_own(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "study.db", space(FAMILIES), "tpe", 0)
    backbones = []
    for number in range(9):
        suggestion = sampler.ask(number)
        assert suggestion is not None
        backbones.append(str(suggestion.params["backbone"]).partition("_")[0])
        sampler.tell(record(number, (0.5,), params=suggestion.params))
    assert backbones == ["cnn", "mobilenet", "vgg19"] * 3
    studies = {study.study_name: study for study in open_studies(tmp_path / "study.db")}
    assert {name: len(study.trials) for name, study in studies.items()} == {
        "cnn": 3,
        "mobilenet": 3,
        "vgg": 3,
    }


def test_a_family_that_is_worse_is_given_up_and_stays_so_when_the_study_is_reopened(
    tmp_path: Path,
) -> None:
    path, families = tmp_path / "study.db", space(FAMILIES)
    sampler = Sampler(path, families, "tpe", 0)
    for number in range(18):
        suggestion = sampler.ask(number)
        assert suggestion is not None
        worse = suggestion.params["backbone"] == "vgg19"
        accuracy = (0.3 if worse else 0.8) + number / 1000
        sampler.report(number, epoch(1, accuracy))
        sampler.tell(record(number, (accuracy,), params=suggestion.params))
    [sentence] = sampler.dropped
    assert sentence.startswith("vgg was given up after")
    again = Sampler(path, families, "tpe", 0)
    assert again.next_number == 18
    asked = [again.ask(number) for number in range(18, 24)]
    assert all(one is not None and one.params["backbone"] != "vgg19" for one in asked)


def test_a_family_is_not_given_up_for_trials_that_had_no_time(tmp_path: Path) -> None:
    path, families = tmp_path / "study.db", space(FAMILIES)
    sampler = Sampler(path, families, "tpe", 0)
    for number in range(18):
        suggestion = sampler.ask(number)
        assert suggestion is not None
        late = suggestion.params["backbone"] == "vgg19"
        if not late:
            sampler.report(number, epoch(1, 0.8))
        state, reason = (TrialState.PRUNED, "budget") if late else (TrialState.COMPLETE, "finished")
        reached = () if late else (0.8,)
        sampler.tell(record(number, reached, state, reason, params=suggestion.params))
    assert sampler.dropped == Sampler(path, families, "tpe", 0).dropped == []


def test_with_limits_the_sampler_learns_to_keep_them(tmp_path: Path) -> None:
    wide = space({"cnn.filters": "8..64", "optimizer.learning_rate": "1e-4..1e-1:log"})
    limits = Limits(parameters=20_000)
    sampler = Sampler(tmp_path / "study.db", wide, "tpe", 0, limits=limits)
    kept = []
    for number in range(40):
        suggestion = sampler.ask(number)
        assert suggestion is not None
        filters = int(suggestion.params["cnn.filters"])
        serving = {"parameters": 1000.0 * filters}
        inside = filters <= 20
        kept.append(inside)
        # The larger, the better: without limits a sampler would go up.
        made = record(number, (filters / 64,) if inside else (), params=suggestion.params)
        state = made.state if inside else TrialState.PRUNED
        sampler.tell(dataclasses.replace(made, state=state, serving=serving))
    # At random one in five would.
    assert sum(kept[10:]) > 0.6 * 30
    sampler.close()


def test_a_study_of_two_objectives_finds_both_ends_of_the_front(tmp_path: Path) -> None:
    wide = space({"cnn.filters": "8..64", "optimizer.learning_rate": "1e-4..1e-1:log"})
    objectives = parse_objectives("val_accuracy,latency")
    sampler = Sampler(tmp_path / "study.db", wide, "tpe", 0, objectives)
    for number in range(30):
        suggestion = sampler.ask(number)
        assert suggestion is not None
        filters = int(suggestion.params["cnn.filters"])
        sampler.report(number, epoch(1, filters / 64))
        made = record(number, (filters / 64,), params=suggestion.params)
        stopped = TrialState.PRUNED if number % 3 == 0 else TrialState.COMPLETE
        serving = {"latency_ms": float(filters)}
        sampler.tell(dataclasses.replace(made, state=stopped, serving=serving))
    sampler.close()
    [study] = open_studies(tmp_path / "study.db")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    ends = [trial.params["cnn.filters"] for trial in study.best_trials]
    assert min(ends) <= 12
    assert max(ends) >= 56
