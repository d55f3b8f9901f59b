"""What the exported model costs: told from the model that export writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl_img.export.keras import export_keras, with_probabilities
from automl_img.export.measure import measure_model, measure_serving
from automl_img.models.network import ImageFacts, serving_model, training_model
from automl_img.training.predict import predict_rows
from tests.models.networks import noise, params_of

FACTS = ImageFacts(16, 3, 3, flips=True)


def test_size_and_parameters_are_those_of_the_file_that_export_writes(tmp_path: Path) -> None:
    params = params_of(head__units="8")
    found = measure_serving(params, FACTS, None, latency=False)
    assert found.latency_ms is None
    classifier = serving_model(params, FACTS, None, training_model(params, FACTS, None))
    images = noise(4, 16)
    path = tmp_path / "model.keras"
    export_keras(
        classifier, ("a", "b", "c"), path, images, predict_rows(classifier, images, np.arange(4))
    )
    # The names of the classes are in the file too.
    assert 0 <= path.stat().st_size - found.size_bytes < 500
    assert found.parameters == with_probabilities(classifier).count_params()
    assert found.facts() == {
        "size_bytes": found.size_bytes,
        "parameters": found.parameters,
    }


def test_without_a_latency_no_graph_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def traced(*_: object, **__: object) -> None:
        raise AssertionError("a graph was traced")

    monkeypatch.setattr(keras.Model, "predict_on_batch", traced)
    monkeypatch.setattr(keras.Model, "make_predict_function", traced)
    assert measure_serving(params_of(), FACTS, None, latency=False).size_bytes > 0
    with pytest.raises(AssertionError, match="traced"):
        measure_serving(params_of(), FACTS, None)


def test_augmentation_and_dropout_cost_the_exported_model_nothing() -> None:
    plain = measure_serving(params_of(head__dropout="0"), FACTS, None, latency=False)
    changed = params_of(head__dropout="0.5", augment__strength="1")
    found = measure_serving(changed, FACTS, None, latency=False)
    assert found.parameters == plain.parameters
    # Names of layers, which Keras counts up, are in the file.
    assert found.size_bytes == pytest.approx(plain.size_bytes, abs=100)


def test_the_latency_is_the_time_of_one_image_and_grows_with_the_work() -> None:
    small = measure_serving(params_of(), FACTS, None)
    large = ImageFacts(96, 3, 3, flips=True)
    params = params_of(cnn__filters="64", cnn__depth="3", cnn__convolutions="4")
    classifier = serving_model(params, large, None, training_model(params, large, None))
    dear = measure_model(classifier)
    assert small.latency_ms is not None
    assert dear.latency_ms is not None
    assert 0 < small.latency_ms < dear.latency_ms
    assert dear.facts()["latency_ms"] == dear.latency_ms
