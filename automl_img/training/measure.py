"""What a configuration costs on this machine, measured on a few steps.

Nothing is trained to be kept, and nothing is written to the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from automl_img.data.batches import Batches, evaluation_batches
from automl_img.models.augment import amounts, augmentation
from automl_img.models.network import ImageFacts, frozen_part, training_model
from automl_img.training.costs import StepCost
from automl_img.training.graphs import GraphCache, key_of
from automl_img.training.inputs import TrialImages, batches_of
from automl_img.training.peak import forget_peak, peak_bytes
from automl_img.training.steps import Steps
from automl_img.training.work import phase_work
from automl_img.trials import Params, TrialSpec

# Of steady steps, for each of two batch sizes.
_SECONDS = 0.7
_MOST_STEPS = 40
# Seconds: what a step takes beyond that is no chance, and a plan should not take as long.
_LONG = 10.0
# As in ``trainer`` and in ``features``, whose batches are measured here.
_VALIDATION_BATCH = 128
_VALIDATION_FEATURES = 1024
_FORWARD_BATCH = 64

Array = np.ndarray[Any, Any]


def measure_step(spec: TrialSpec, graphs: GraphCache) -> StepCost:
    """Measure the configuration ``spec.params`` on some steps over real images.

    A phase of the head alone is a configuration of its own, see ``work.work_of``. Of a frozen part
    whose outputs would be kept, one batch is computed and stands for all.

    Args:
        graphs: of the process; what is measured stays there.

    Raises:
        MemoryError: and what backends raise in its place; see ``guards.as_trial_failure``.
    """
    data = TrialImages(spec)
    facts = data.facts(spec)
    params = spec.params
    work = phase_work(spec, params, spec.max_epochs, data, facts)
    forget_peak()
    images, labels, rows = data.images, data.labels, np.concatenate(data.parts)
    kept, forward, forward_first = None, 0.0, 0.0
    if work.kept:
        some = rows[:_FORWARD_BATCH]
        images, forward, forward_first = _forward(spec, params, data, facts, some)
        labels, rows = labels[some], np.arange(len(rows)) % len(some)
        kept = images.shape[1:]
    size = int(params["batch_size"])
    batches = batches_of(spec, images, labels, rows)
    began = time.perf_counter()
    steps = graphs.get(
        key_of(params, facts, spec.weights, kept, spec.precision),
        lambda: training_model(params, facts, spec.weights, kept),
    )
    built = time.perf_counter() - began
    start = _seconds(lambda: steps.model.start(params, spec.seed))
    first = _seconds(lambda: steps.train(batches, 0, range(1)))
    each = _steady(spec, steps, batches)
    few = batches_of(spec, images, labels, rows, max(1, size // 4))
    fixed = _intercept(few.batch_size, _steady(spec, steps, few), batches.batch_size, each)
    most = _VALIDATION_BATCH if kept is None else _VALIDATION_FEATURES
    chosen = rows[: min(most, len(data.validation) or len(rows))]
    [(batch, _)] = evaluation_batches(images, chosen, len(chosen))
    first_look = _seconds(lambda: _predict(steps, batch))
    look = min(_seconds(lambda: _predict(steps, batch)) for _ in range(3))
    return StepCost(
        first_seconds=built + max(0.0, first - each) + max(0.0, first_look - look),
        start_seconds=start,
        step_seconds=each,
        batch_size=batches.batch_size,
        fixed_seconds=fixed,
        validation_seconds=look,
        validation_batch=len(batch),
        forward_seconds=forward,
        forward_first_seconds=forward_first,
        parameters=work.parameters,
        peak_bytes=peak_bytes(),
    )


def _forward(
    spec: TrialSpec, params: Params, data: TrialImages, facts: ImageFacts, rows: Array
) -> tuple[Array, float, float]:
    """Features of ``rows`` as a trial trains on them, float16 (rows, ...), seconds an image, and
    seconds for building and tracing what computes them."""
    began = time.perf_counter()
    pixels = keras.Input(facts.shape, dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1.0)(pixels)
    changes = amounts(params, facts.flips, facts.channels)
    changes = {name: amount for name, amount in changes.items() if amount > 0}
    x = augmentation(changes, always=True)(x) if changes else x
    extractor = keras.Model(pixels, frozen_part(params, facts, spec.weights)(x))
    built = time.perf_counter() - began
    batch = np.asarray(data.images[rows])
    first = _seconds(lambda: extractor.predict_on_batch(batch))
    each = min(_seconds(lambda: extractor.predict_on_batch(batch)) for _ in range(2))
    features = np.asarray(extractor.predict_on_batch(batch)).astype(np.float16)
    if features.ndim == 3:
        features = features[:, ("avg", "max").index(str(params["head.pooling"]))]
    # Without augmentation, as for the validation images, it is another graph to build and trace.
    once = built + max(0.0, first - each)
    return features, each / len(batch), 2 * once if changes else once


def _steady(spec: TrialSpec, steps: Steps, batches: Batches) -> float:
    """Seconds of a step, the median of three times some; the first step is left out. A step that
    takes long is measured once."""
    one = _of_steps(spec, steps, batches, 1)
    if one > _LONG:
        return one
    one = min(one, _of_steps(spec, steps, batches, 1))
    count = min(len(batches), _MOST_STEPS, max(1, round(_SECONDS / 3 / one)))
    return float(np.median([_of_steps(spec, steps, batches, count) for _ in range(3)]))


def _of_steps(spec: TrialSpec, steps: Steps, batches: Batches, count: int) -> float:
    return _seconds(lambda: steps.train(batches, 0, range(count))) / count


def _intercept(few: int, few_seconds: float, many: int, many_seconds: float) -> float:
    """Seconds of a step without images, on the line through two batch sizes."""
    if few == many:
        return 0.0
    each = max(0.0, many_seconds - few_seconds) / (many - few)
    return min(many_seconds, max(0.0, many_seconds - many * each))


def _predict(steps: Steps, batch: Array) -> None:
    keras.ops.convert_to_numpy(steps.predict_on_batch(batch))


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
