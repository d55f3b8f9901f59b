"""Whole searches under limits, with two objectives, and with an ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl_img.api import export_model
from automl_img.errors import RunError, SearchError
from automl_img.export.keras import load_keras
from automl_img.runs import Run
from automl_img.trials import TrialState
from tests.pictures import class_folders
from tests.search.searches import WIDE, small_search
from tests.search.spaces import TINY

pytestmark = pytest.mark.slow

SPREAD = {"optimizer.learning_rate": "1e-2..3e-2:log", "head.pooling": "avg,max"}
SIZES = {"cnn.filters": "8,16,32"}
# Between the last two networks of SIZES.
PARAMETERS = 700


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "photos", per_class=30)


@pytest.fixture(scope="module")
def bounded(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search with a limit and two objectives."""
    folder = tmp_path_factory.mktemp("bounded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_IMG_CACHE", str(folder / "cache"))
        return small_search(
            photos,
            folder / "runs",
            search={**SIZES, **WIDE},
            fix={name: value for name, value in TINY.items() if name not in SIZES},
            budget=4,
            max_params=str(PARAMETERS),
            objective="val_accuracy,latency",
        )


def test_what_breaks_a_limit_is_measured_told_and_never_trained(bounded: Run) -> None:
    kept = [trial for trial in bounded.trials() if trial.stop_reason != "infeasible"]
    beyond = [trial for trial in bounded.trials() if trial.stop_reason == "infeasible"]
    assert len(kept) == 4
    assert beyond, "the start set has a network of 32 filters"
    for trial in beyond:
        assert (trial.epochs, trial.state) == ((), TrialState.PRUNED)
        assert trial.params["cnn.filters"] == 32
        assert "more than --max-params 700 parameters" in (trial.error or "")
    assert {trial.params["cnn.filters"] for trial in kept} <= {8, 16}
    winner = bounded.read_json("winner.json")
    assert winner is not None
    assert winner["serving"]["parameters"] <= PARAMETERS
    model = load_keras(bounded.model).model
    assert winner["serving"]["parameters"] == model.count_params()
    assert abs(bounded.model.stat().st_size - winner["serving"]["size_bytes"]) < 1_000
    assert "beyond a limit" in bounded.report.read_text()


def test_a_limit_that_nothing_keeps_ends_with_a_sentence(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"none of 4 configurations does: .* --max-params 10 par"):
        small_search(photos, tmp_path / "runs", search=WIDE, budget=2, max_params="10")


def test_two_objectives_give_a_front_that_the_report_shows(bounded: Run) -> None:
    trained = [trial for trial in bounded.trials() if trial.epochs]
    assert len(trained) == 4
    assert all((trial.serving or {}).get("latency_ms", 0.0) > 0 for trial in trained)
    assert bounded.info["search"]["objectives"] == ["val_accuracy", "latency"]
    assert "figure-tradeoff-latency" in bounded.report.read_text()


def test_an_ensemble_is_one_model_that_predicts_the_average_of_its_members(tmp_path: Path) -> None:
    # Of digits small networks learn different parts in a few epochs.
    run = small_search(
        "digits",
        tmp_path / "runs",
        budget=5,
        max_epochs=5,
        limit_per_class=100,
        search=SPREAD,
        ensemble=3,
    )
    told = run.read_json("ensemble.json")
    assert told is not None
    assert 2 <= len(told["members"]) <= 3
    assert sum(member["weight"] for member in told["members"]) == pytest.approx(1)
    together, alone = run.read_predictions("ensemble"), run.read_predictions("test")
    assert together is not None
    assert alone is not None
    right = together.probabilities.argmax(axis=1) == together.labels
    assert told["test"]["accuracy"] == pytest.approx(right.mean())
    assert not np.allclose(together.probabilities, alone.probabilities)
    members = [run.read_predictions(f"trial-{m['number']:05d}") for m in told["members"]]
    shares = [
        member.probabilities * one["weight"]
        for member, one in zip(members, told["members"], strict=True)
        if member is not None
    ]
    assert len(shares) == len(told["members"])
    found = (sum(shares).argmax(axis=1) == members[0].labels).mean()
    assert told["validation_accuracy"] == pytest.approx(found)
    exported = load_keras(export_model(tmp_path / "both.keras", run.path, ensemble=True))
    images = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 1), dtype=np.uint8)
    assert np.allclose(exported.predict(images).sum(axis=1), 1, atol=1e-5)
    assert "table-members" in run.report.read_text()
    assert not (run.path / "trials").exists()


def test_a_run_without_an_ensemble_says_how_to_get_one(tmp_path: Path, photos: Path) -> None:
    run = small_search(photos, tmp_path / "runs", budget=1, max_epochs=1)
    with pytest.raises(RunError, match="search with --ensemble N makes one"):
        export_model(tmp_path / "both.keras", run.path, ensemble=True)
