"""The study of a search, which one process writes and reads from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from automl_img.search import storage as storage_module
from automl_img.search.sampler import Sampler
from automl_img.search.storage import Cached, OneWriter, Studies, open_storage, open_studies
from automl_img.trials import TrialState
from tests.search.spaces import epoch, record, space

SEARCHED = {
    "optimizer.learning_rate": "1e-4..1e-1:log",
    "optimizer.name": "adam,sgd",
    "optimizer.momentum": "0.5..0.9",
    "batch_size": "32,64",
}
AT_A_TIME = 4


def suggestions(path: Path, count: int) -> list[dict[str, Any]]:
    """Ask for trials, of which some run at a time, and tell how they end: one in four fails, one
    is stopped, the others come to their end."""
    sampler = Sampler(path, space(SEARCHED), "tpe", 0)
    found, running = [], []
    for number in range(count):
        suggestion = sampler.ask(number)
        assert suggestion is not None
        found.append(suggestion.params)
        running.append(suggestion)
        if len(running) < AT_A_TIME:
            continue
        ending = running.pop(0)
        score = 1 / (1 + abs(float(ending.params["optimizer.learning_rate"]) - 0.01))
        for reached in (1, 2):
            sampler.report(ending.number, epoch(reached, score * reached / 2))
        state = {0: TrialState.FAILED, 1: TrialState.PRUNED}.get(number % 4, TrialState.COMPLETE)
        told = record(ending.number, (score / 2, score), state, params=ending.params)
        sampler.tell(told)
    return found


def content(trial: FrozenTrial) -> tuple[Any, ...]:
    return (
        trial.number,
        trial.state,
        trial.values,
        trial.params,
        trial.distributions,
        trial.intermediate_values,
        trial.user_attrs,
        trial.system_attrs,
    )


def test_suggestions_are_those_of_a_study_that_is_read_from_its_file_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = suggestions(tmp_path / "ours.db", 40)
    monkeypatch.setattr(storage_module, "OneWriter", Cached)
    assert suggestions(tmp_path / "theirs.db", 40) == ours
    [mine], [other] = open_studies(tmp_path / "ours.db"), open_studies(tmp_path / "theirs.db")
    assert [content(trial) for trial in mine.trials] == [content(trial) for trial in other.trials]


def test_what_was_written_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=OneWriter(open_storage(path)), study_name="search")

    def in_file() -> list[tuple[Any, ...]]:
        [kept] = open_studies(path)
        return [content(trial) for trial in kept.trials]

    def in_memory() -> list[tuple[Any, ...]]:
        return [content(trial) for trial in study.trials]

    trial = study.ask()
    trial.suggest_float("a", 0, 1)
    assert in_file() == []
    trial.set_user_attr("number", 7)
    assert in_file() == in_memory()
    for write in (
        lambda: trial.report(0.25, 1),
        lambda: trial.suggest_categorical("b", ["x", "y"]),
        lambda: trial.set_user_attr("reason", "finished"),
        lambda: trial.set_constraint("memory", 1.0),
        lambda: study.tell(trial, 0.5),
        lambda: study.tell(study.ask(), state=OptunaState.FAIL),
    ):
        write()
        assert in_file() == in_memory()


def test_trials_have_the_same_numbers_in_the_file_whichever_is_written_first(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.db"
    study = optuna.create_study(storage=OneWriter(open_storage(path)), study_name="search")
    first, second = study.ask(), study.ask()
    second.suggest_float("b", 0, 1)
    second.set_user_attr("number", 2)
    first.suggest_float("a", 0, 1)
    first.set_user_attr("number", 1)
    [kept] = open_studies(path)
    assert [content(trial) for trial in kept.trials] == [content(each) for each in study.trials]


def test_a_study_that_is_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    file = open_storage(path)
    storage = OneWriter(file)
    for name in ("cnn", "resnet"):
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        trial = study.ask()
        trial.suggest_float("a", 0, 1)
        trial.set_user_attr("number", 0)
    Studies(storage, file).close()
    again = optuna.load_study(study_name="resnet", storage=OneWriter(open_storage(path)))
    [running] = again.trials
    optuna.trial.Trial(again, running._trial_id).report(0.5, 1)
    again.tell(running.number, 0.5)
    kept = {study.study_name: study.trials[0] for study in open_studies(path)}
    assert kept["cnn"].state is OptunaState.RUNNING
    assert kept["resnet"].state is OptunaState.COMPLETE
    assert kept["resnet"].intermediate_values == {1: 0.5}
