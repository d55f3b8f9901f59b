from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.html import Page
from tests.search.searches import small_search


@pytest.mark.slow
def test_the_test_is_scored_at_the_level_of_coarser_classes_too(
    photos: Path, tmp_path: Path
) -> None:
    kinds = {"blue": "cold", "green": "cold", "red": "warm"}
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{kinds[path.parent.name]}"
        for path in sorted(photos.rglob("*.png"))
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["path,label,kind", *rows]))
    run = small_search(table, tmp_path / "runs", budget=1, coarse_column="kind")
    scores = run.read_json("test.json")
    coarse = scores["coarse"]
    assert coarse["classes"] == ["cold", "warm"]
    assert coarse["images"] == scores["images"]
    predictions = run.read_predictions("test")
    assert predictions is not None
    cold = predictions.probabilities[:, :2].sum(axis=1) > 0.5
    right = cold == (predictions.labels < 2)
    assert coarse["accuracy"] == pytest.approx(right.mean())
    assert "Coarser classes" in Page.of(run.report).text
    assert "--coarse-column kind" in run.info["command"]
