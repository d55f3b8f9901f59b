"""Each family of backbones, at its smallest size and from random weights, from trial to report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from automl_img.api import load_space, predict, verdict, write_report
from automl_img.data.prepare import prepare
from automl_img.events import ignore
from automl_img.export.keras import export_keras
from automl_img.models import backbones
from automl_img.models.weights import find_variant
from automl_img.plugins import leaf_names, leaves
from automl_img.runs import create_run
from automl_img.search.choice import choose, rank
from automl_img.search.finalists import (
    evaluate,
    keep_validation_predictions,
    keep_winner,
)
from automl_img.search.resources import Resources
from automl_img.search.sampler import Suggestion
from automl_img.search.specs import Specs
from automl_img.settings import SearchSettings
from automl_img.training.final import keep_final, load_final
from automl_img.training.guards import release_memory
from automl_img.training.trainer import Trainer
from automl_img.trials import Params, TrialRecord, TrialState
from tests.pictures import class_folders

SMALLEST: Params = {"weights": "none", "cnn.depth": 1, "cnn.filters": 8, "batch_size": 8}


@pytest.mark.slow
@pytest.mark.parametrize("family", leaves(backbones), ids=leaf_names(backbones))
def test_a_family_goes_from_trial_to_report_and_export(family: ModuleType, tmp_path: Path) -> None:
    name = family.VARIANTS[0]
    variant = find_variant(name)
    size = variant.minimum if variant is not None else 16
    photos = class_folders(tmp_path / "photos", per_class=12, size=size)
    settings = SearchSettings(data=str(photos), image_size=size, max_epochs=1)
    prepared = prepare(settings)
    space = load_space("everything", {}, {"backbone": name, "weights": "none"} if variant else {})
    params = space.nearest({**family.START, **SMALLEST, "backbone": name})
    run = create_run(tmp_path, "run", {"name": "run", "data": {"class_names": ["x", "y", "z"]}})
    specs = Specs(settings, prepared, run, {}, Resources(1, 1, 0, 0.0))
    specs.write_rows()
    spec = specs.of(Suggestion(0, params, 0))
    trainer = Trainer(spec)
    epochs = tuple(trainer.epochs())
    record = TrialRecord(
        0,
        TrialState.COMPLETE,
        "finished",
        params,
        0,
        0.0,
        1.0,
        epochs,
        parameters=trainer.parameters,
        ms_per_image=trainer.ms_per_image,
    )
    run.append_trial(record)
    (winner,) = rank([record])
    labels = prepared.index.labels[prepared.split.validation]
    keep_validation_predictions(run, [winner], labels, prepared.names_of_validation)
    folder = run.path / "winner"
    retraining = Trainer(specs.retraining(winner, None))
    history = tuple(retraining.epochs())
    keep_final(retraining)
    keep_winner(run, winner, dataclasses.replace(record, epochs=history), choose([record], 9))
    classifier, rows_kept, expected = load_final(folder)
    evaluate(specs, prepared.test.open(ignore), classifier)
    samples = np.asarray(prepared.pixels.images[rows_kept])
    export_keras(classifier, prepared.class_names, run.model, samples, expected)
    write_report(run.path)
    release_memory()

    said = verdict(run)
    assert (said.kind, said.winner.split(",")[0]) == ("test", name)
    assert run.report.exists()
    sections = json.loads((run.path / "report.json").read_text())["sections"]
    assert "failed" not in {section["status"] for section in sections.values()}
    kept = run.read_predictions("test")
    assert kept is not None
    found = predict(run.model, [photos / image for image in kept.names])
    given = np.array([list(one.probabilities.values()) for one in found])
    assert np.allclose(given, kept.probabilities, atol=1e-4)
