"""Whole searches under limits, with two objectives, and with an ensemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl_img.api import export_model, predict
from automl_img.errors import RunError, SearchError
from automl_img.events import Event, Notice
from automl_img.export.keras import load_keras
from automl_img.trials import TrialState
from tests.pictures import class_folders
from tests.search.searches import WIDE, small_search
from tests.search.spaces import TINY

pytestmark = pytest.mark.slow

SIZES = {"cnn.filters": "8,32"}
# Between the two networks of SIZES.
PARAMETERS = 2_000


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "photos", per_class=30)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_IMG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def fixed() -> dict[str, str]:
    return {name: value for name, value in TINY.items() if name not in SIZES}


def test_what_breaks_a_limit_is_measured_told_and_never_trained(
    photos: Path, tmp_path: Path, fixed: dict[str, str]
) -> None:
    searched = {**SIZES, **WIDE}
    run = small_search(
        photos, tmp_path / "runs", search=searched, fix=fixed, budget=4, max_params=str(PARAMETERS)
    )
    kept = [trial for trial in run.trials() if trial.stop_reason != "infeasible"]
    beyond = [trial for trial in run.trials() if trial.stop_reason == "infeasible"]
    assert len(kept) == 4
    assert beyond, "the start set has a network of 32 filters"
    for trial in beyond:
        assert (trial.epochs, trial.state) == ((), TrialState.PRUNED)
        assert trial.params["cnn.filters"] == 32
        assert "more than --max-params 2,000 parameters" in (trial.error or "")
    assert {trial.params["cnn.filters"] for trial in kept} == {8}
    winner = run.read_json("winner.json")
    assert winner is not None
    assert winner["serving"]["parameters"] <= PARAMETERS
    model = load_keras(run.model).model
    assert winner["serving"]["parameters"] == model.count_params()
    assert abs(run.model.stat().st_size - winner["serving"]["size_bytes"]) < 1_000
    assert "beyond a limit" in run.report.read_text()


def test_a_limit_that_nothing_keeps_ends_with_a_sentence(
    photos: Path, tmp_path: Path, fixed: dict[str, str]
) -> None:
    with pytest.raises(SearchError, match=r"none of 4 configurations does: .* --max-params 10 par"):
        small_search(photos, tmp_path / "runs", search=WIDE, budget=2, max_params="10")


def test_two_objectives_give_a_front_that_the_report_shows(
    photos: Path, tmp_path: Path, fixed: dict[str, str]
) -> None:
    run = small_search(
        photos,
        tmp_path / "runs",
        search={**SIZES, **WIDE},
        fix=fixed,
        budget=4,
        objective="val_accuracy,latency",
    )
    trained = [trial for trial in run.trials() if trial.epochs]
    assert len(trained) == 4
    assert all((trial.serving or {}).get("latency_ms", 0.0) > 0 for trial in trained)
    assert run.info["search"]["objectives"] == ["val_accuracy", "latency"]
    assert "figure-tradeoff-latency" in run.report.read_text()


def test_an_ensemble_is_one_model_that_predicts_the_average_of_its_members(
    photos: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    # Noise that no network learns, so that they err in different places.
    noisy = _with_wrong_labels(photos, tmp_path / "noisy")
    run = small_search(noisy, tmp_path / "runs", events.append, budget=6, ensemble=3)
    told = run.read_json("ensemble.json")
    if told is None:
        assert any("no average is better" in event.text for event in events if _is_notice(event))
        pytest.fail("none of six networks on noisy labels adds anything; take other noise")
    assert 2 <= len(told["members"]) <= 3
    assert sum(member["weight"] for member in told["members"]) == pytest.approx(1)
    together, alone = run.read_predictions("ensemble"), run.read_predictions("test")
    assert together is not None
    assert alone is not None
    assert told["test"]["accuracy"] == pytest.approx(_accuracy(together))
    assert not np.allclose(together.probabilities, alone.probabilities)
    exported = export_model(tmp_path / "both.keras", run.path, ensemble=True)
    images = sorted(path for path in noisy.rglob("*.png"))[:5]
    for found in predict(exported, images):
        assert found.probability == pytest.approx(max(found.probabilities.values()))
        assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert "table-members" in run.report.read_text()
    assert not (run.path / "trials").exists()


def test_a_run_without_an_ensemble_says_how_to_get_one(tmp_path: Path, photos: Path) -> None:
    run = small_search(photos, tmp_path / "runs", budget=1, max_epochs=1)
    with pytest.raises(RunError, match="search with --ensemble N makes one"):
        export_model(tmp_path / "both.keras", run.path, ensemble=True)


def _is_notice(event: Event) -> bool:
    return isinstance(event, Notice)


def _accuracy(predictions: object) -> float:
    labels, probabilities = predictions.labels, predictions.probabilities
    return float((probabilities.argmax(axis=1) == labels).mean())


def _with_wrong_labels(photos: Path, target: Path) -> Path:
    """Every third image in the folder of the next class."""
    import shutil

    classes = sorted(path for path in photos.iterdir() if path.is_dir())
    for place, folder in enumerate(classes):
        for number, path in enumerate(sorted(folder.iterdir())):
            wrong = number % 3 == 0
            label = classes[(place + wrong) % len(classes)].name
            (target / label).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / label / f"{folder.name}-{path.name}")
    return target
