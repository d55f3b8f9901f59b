"""Searches on images that may have several classes, from the table to the prediction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img import api
from automl_img.errors import SettingsError, SpaceError
from automl_img.export.keras import load_keras
from automl_img.report.card import load_card
from automl_img.report.verdict import verdict
from automl_img.runs import Run
from automl_img.search.study import search
from tests.pictures import COLOURS
from tests.report.html import Page
from tests.search.searches import small_search
from tests.search.spaces import TINY

CLASSES = ("blue", "green", "red")


def patches(folder: Path, images: int = 240) -> Path:
    """Images with a patch of each of their colours; and a table that names these."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for number in range(images):
        chosen = [name for name in CLASSES if rng.random() < 0.4]
        pixels = rng.integers(90, 140, (16, 16, 3)).astype(np.uint8)
        for name, corner in zip(chosen, rng.permutation(4), strict=False):
            top, left = 8 * (int(corner) // 2), 8 * (int(corner) % 2)
            pixels[top : top + 7, left : left + 7] = COLOURS[name]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{'|'.join(chosen)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("several")
    table = patches(folder / "images")
    fix = {**TINY, "cnn.filters": "16", "cnn.depth": "2", "optimizer.learning_rate": "1e-2"}
    return small_search(
        table,
        folder / "runs",
        budget=3,
        max_epochs=12,
        label_separator="|",
        search={"head.dropout": "0..0.2"},
        fix=fix,
        ensemble=2,
    )


@pytest.mark.slow
class TestSeveralClasses:
    def test_trials_are_compared_by_mean_average_precision_and_learn(self, run: Run) -> None:
        assert run.info["search"]["objectives"] == ["val_map"]
        assert run.info["data"]["multi_label"] is True
        assert sum(run.info["data"]["splits"].values()) == 240
        best = max(trial.best.score or 0 for trial in run.trials() if trial.best)
        assert best > 0.9

    def test_the_test_has_its_own_scores_and_thresholds_from_validation(self, run: Run) -> None:
        scores = run.read_json("test.json")
        assert scores["multi_label"] is True
        assert scores["mean_average_precision"] > 0.9
        assert scores["jaccard"] > 0.7
        assert scores["accuracy"] > scores["baseline"] + 0.2
        assert len(scores["thresholds"]) == 3
        assert set(scores["thresholds"]) != {0.5}
        predictions = run.read_predictions("test")
        assert predictions is not None
        assert predictions.labels.shape == predictions.probabilities.shape
        said = predictions.probabilities >= np.array(scores["thresholds"])
        assert (said == predictions.labels).all(axis=1).mean() == pytest.approx(scores["accuracy"])

    def test_the_export_says_each_class_for_itself(self, run: Run, tmp_path: Path) -> None:
        exported = load_keras(run.model)
        assert exported.class_names == CLASSES
        scores = run.read_json("test.json")
        assert list(exported.thresholds or ()) == pytest.approx(scores["thresholds"])
        files = [tmp_path / f"{name}.png" for name in ("two", "none")]
        pixels = np.full((16, 16, 3), 115, np.uint8)
        Image.fromarray(pixels).save(files[1])
        pixels[:7, :7], pixels[8:15, 8:15] = COLOURS["red"], COLOURS["blue"]
        Image.fromarray(pixels).save(files[0])
        two, none = api.predict(str(run.path), files)
        assert two.label == "blue|red"
        assert (two.labels, none.labels) == (("blue", "red"), ())
        assert two.probability == min(two.probabilities["blue"], two.probabilities["red"])
        assert sum(two.probabilities.values()) > 1.2
        assert (none.label, none.probability) == ("", None)
        command = [sys.executable, "-m", "automl_img", "predict", str(run.model), *map(str, files)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        each = "|".join(f"{two.probabilities[name]:.3f}" for name in two.labels)
        assert said.stdout.splitlines() == [f"{files[0]}\tblue|red\t{each}", f"{files[1]}\t\t"]

    def test_the_report_names_all_classes_of_an_image(self, run: Run) -> None:
        card = load_card(run)
        assert card.notes == ()
        assert card.data.multi_label
        page = Page.of(run.report)
        text = page.text
        for words in ("Mean average precision", "Jaccard index", "right in every class"):
            assert words in text
        assert "none is mistaken for another" in text
        assert "Threshold" in text
        assert "mean average precision" in verdict(card).line
        mistakes = [row for row, group in card.groups.items() if group == "mistake"]
        assert all(card.true(row) != card.said(row) for row in mistakes)
        others = [row for row, group in card.groups.items() if group != "mistake"]
        assert others
        assert all(card.true(row) == card.said(row) for row in others)

    def test_its_best_trial_can_be_trained_again_and_its_budget_extended(self, run: Run) -> None:
        found = api.reproduce(run.path)
        assert found.holds
        again = api.resume(run.path, budget="+1")
        assert len([trial for trial in again.trials() if trial.origin != "repeat"]) == 4
        assert again.info["status"] == "finished"

    def test_the_split_names_all_classes_of_an_image(self, run: Run) -> None:
        lines = (run.path / "split.csv").read_text().splitlines()
        assert len(lines) == 241
        assert {"blue|green", "blue|green|red", ""} <= {line.split(",")[1] for line in lines[1:]}


@pytest.mark.parametrize("objective", ["val_balanced_accuracy", "val_map"])
def test_an_objective_must_be_for_such_labels(objective: str, tmp_path: Path, photos: Path) -> None:
    several = objective != "val_map"
    data = patches(tmp_path / "images", 40) if several else photos
    separator = "|" if several else None
    with pytest.raises(SettingsError, match=f"but got '{objective}'"):
        search(data, objective=objective, label_separator=separator, out=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "asked",
    [
        {"class_weights": "balanced"},
        {"search": {"imbalance.oversampling": "0..1"}},
        {"fix": {"imbalance.class_weights": "0.5"}},
    ],
)
def test_what_weights_classes_is_refused(asked: dict[str, object], tmp_path: Path) -> None:
    table = patches(tmp_path / "images", 40)
    with pytest.raises(SpaceError, match="must be 0 where images may have several classes"):
        search(table, label_separator="|", out=str(tmp_path / "runs"), **asked)
    assert not (tmp_path / "runs").exists()
