"""What the exported model costs whoever uses it: time on this machine, size, parameters."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.export.keras import with_probabilities
from automl_img.models.network import ImageFacts, serving_model, training_model
from automl_img.trials import Params

# The first predictions are traced and find nothing in the processor's caches.
_WARM_UP = 5
_LEAST, _MOST = 10, 200
_SECONDS = 1.0


@dataclass(frozen=True)
class Serving:
    """What the exported model costs.

    Attributes:
        size_bytes: of the ``.keras`` file, the names of the classes left out.
        parameters: of the whole classifier, as many as Keras counts.
        latency_ms: the median of single predictions for one image, in milliseconds, on this
            machine and with the threads of this process; None where it was not measured.
    """

    size_bytes: int
    parameters: int
    latency_ms: float | None = None

    def facts(self) -> dict[str, float]:
        """As ``TrialRecord.serving`` keeps it: what was measured, by name."""
        known = {"size_bytes": float(self.size_bytes), "parameters": float(self.parameters)}
        return known if self.latency_ms is None else {**known, "latency_ms": self.latency_ms}


def measure_serving(
    params: Params, facts: ImageFacts, weights: str | None, latency: bool = True
) -> Serving:
    """Measure the exported form of a configuration, which need not have been trained: neither its
    size nor its time depends on the values of its weights.

    Args:
        weights: file of pretrained weights for the backbone.
        latency: without it no graph is traced, and a network is built and written in a second or
            two.
    """
    model = training_model(params, facts, weights)
    return measure_model(serving_model(params, facts, weights, model), latency)


def measure_model(classifier: Any, latency: bool = True) -> Serving:
    """Measure a classifier that is there.

    Args:
        classifier: from uint8 images to logits; see ``automl_img.models.network.serving_model``.
        latency: see ``measure_serving``.
    """
    model = with_probabilities(classifier)
    with tempfile.TemporaryDirectory(prefix="automl-img-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        size = path.stat().st_size
    return Serving(
        size_bytes=size,
        parameters=int(model.count_params()),
        latency_ms=_latency_ms(model) if latency else None,
    )


def _latency_ms(model: Any) -> float:
    """The median of as many predictions as a second has room for, at least 10."""
    image = np.random.default_rng(0).integers(0, 256, (1, *model.input_shape[1:]), dtype=np.uint8)
    for _ in range(_WARM_UP):
        np.asarray(model.predict_on_batch(image))
    times: list[float] = []
    while len(times) < _LEAST or (sum(times) < _SECONDS and len(times) < _MOST):
        began = time.perf_counter()
        np.asarray(model.predict_on_batch(image))
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))
