"""Whole searches in which trials go wrong, each in its own way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from automl_img import resume
from automl_img.errors import RunError
from automl_img.report.card import load_card
from automl_img.report.ledger import ledger
from automl_img.runs import Run
from automl_img.trials import TrialRecord
from tests.pictures import class_folders
from tests.search.searches import small_search

pytestmark = pytest.mark.slow

FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "photos", per_class=40)


def ask_for(monkeypatch: pytest.MonkeyPatch, faults: dict[int, str]) -> None:
    """Have the trials of searches go wrong, by their numbers."""
    monkeypatch.setenv("AUTOML_IMG_TEST_FAULTS", json.dumps(faults))
    path = os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    monkeypatch.setenv("PYTHONPATH", path)


def by_number(run: Run) -> dict[int, TrialRecord]:
    return {record.number: record for record in run.trials()}


@pytest.mark.alone
def test_each_fault_ends_its_trial_alone_and_has_its_reason(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = {
        1: "exception",
        2: "divergence",
        3: "memory",
        4: "gpu memory",
        5: "hang",
        6: "killed",
        7: "killed once",
    }
    ask_for(monkeypatch, faults)
    before = psutil.Process().children(recursive=True)
    out = tmp_path / "runs"
    run = small_search(
        images, out, budget=10, sampler="random", max_epochs=2, workers=2, trial_timeout="30s"
    )
    trials = by_number(run)
    assert len(trials) == 10
    reasons = {number: trials[number].stop_reason for number in faults}
    assert reasons == {
        1: "error",
        2: "diverged",
        3: "out of memory",
        4: "out of memory",
        5: "hang",
        6: "worker died",
        7: "finished",
    }
    assert all(trials[number].best is not None for number in trials if number not in reasons)
    assert run.read_json("winner.json") is not None
    assert run.info["status"] == "finished"
    errors = (run.path / "errors.log").read_text()
    assert "a fault was asked for" in errors
    # What the trial that hung was at.
    assert "sitecustomize.py" in errors.partition("trial 5\n")[2]
    assert sum(len(failure.trials) for failure in ledger(load_card(run))) == 6
    assert "Failed trials" in run.report.read_text(encoding="utf-8")
    assert not [child for child in psutil.Process().children(recursive=True) if child not in before]


def test_five_failures_in_a_row_end_the_search_and_the_best_so_far_is_retrained(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(monkeypatch, dict.fromkeys(range(2, 40), "exception"))
    run = small_search(images, tmp_path / "runs", budget=30, sampler="random")
    assert len(run.trials()) == 7
    assert run.model.exists()


def test_a_disk_that_fills_up_under_a_trial_stops_the_run_and_it_goes_on_once_there_is_room(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(monkeypatch, {2: "disk"})
    out = tmp_path / "runs"
    with pytest.raises(RunError, match=r"disk of .* is full.* MB more; .*automl-img resume run"):
        small_search(images, out, budget=4, sampler="random", name="run")
    before = Run(out / "run").trials()
    run = resume("run", out=out)
    trials = by_number(run)
    assert len(trials) == 4
    assert trials[2].stop_reason == "finished"
    assert run.trials()[: len(before)] == before
    assert run.model.exists()
