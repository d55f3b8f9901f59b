"""The same trials without this project's search: each function runs in a process of its own.

They share what is not under test: the models of ``ImageClassifier``, the arrays in memory, batch
size, epochs, validation after each epoch, number of threads. ``start`` runs one of them by name;
it reads the job from a file and prints what it measured as its last line.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import frame
import numpy as np

_VALIDATION_BATCH = 128  # as in training/trainer.py


@dataclass(frozen=True)
class Job:
    """The trials to run.

    Attributes:
        arrays: an ``.npz`` with images and labels for training (x, y) and validation (vx, vy).
        facts: the keywords of ``ImageFacts``.
        configurations: the parameters of each trial.
        epochs: of each trial.
        folder: where a tool may keep its files.
    """

    arrays: str
    facts: dict[str, Any]
    configurations: list[dict[str, Any]]
    epochs: int
    folder: str


def start(function: str, job: Job, environment: dict[str, str]) -> dict[str, Any]:
    """Run ``function`` of this module on ``job`` in a new process.

    Returns:
        What it measured, with "whole": seconds of the process, and "to_last_trial": seconds from
        its start to the end of its last trial.

    Raises:
        RuntimeError: it failed.
    """
    path = Path(job.folder) / f"job-{time.time_ns()}.json"
    path.write_text(json.dumps(asdict(job)), encoding="utf-8")
    code = (
        "import json, sys; from peers import alone; "
        f"print(json.dumps(alone.{function}(alone.read(sys.argv[1]))))"
    )
    began, clock = time.time(), time.perf_counter()
    done = subprocess.run(
        frame.python("-c", code, path),
        cwd=frame.FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - clock
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**measured, "whole": whole, "to_last_trial": measured["ended"] - began}


def read(path: str) -> Job:
    """The job that ``start`` wrote."""
    return Job(**json.loads(Path(path).read_text(encoding="utf-8")))


def structure(params: dict[str, Any]) -> str:
    """What decides the graph of a configuration here: all but the rate that the optimizer holds."""
    return json.dumps({k: v for k, v in params.items() if k != "optimizer.learning_rate"})


def steady_trials(job: Job) -> dict[str, Any]:
    """Seconds of a traced trial, over the structures on average, on all images and on half."""
    data = _load(job)
    half = {name: values[: len(values) // 2] for name, values in data.items()}
    models = [(params, _traced(job, params, data)) for params in _one_each(job)]
    seconds = {
        name: min(
            sum(_fit(model, params, some, job.epochs) for params, model in models) / len(models)
            for _ in range(3)
        )
        for name, some in (("all", data), ("half", half))
    }
    return {**seconds, "ended": time.time()}


def bare_traced(job: Job) -> dict[str, Any]:
    """`model.fit` of each configuration on a model of its structure that was traced before.

    Only the epochs are timed: no building, no tracing, no new weights. Nothing is faster.
    """
    data = _load(job)
    models = {structure(params): _traced(job, params, data) for params in _one_each(job)}
    seconds = []
    for params in job.configurations:
        model = models[structure(params)]
        model.optimizer.learning_rate = params["optimizer.learning_rate"]
        seconds.append(_fit(model, params, data, job.epochs))
    return {"seconds": seconds, "ended": time.time()}


def bare_rebuilt(job: Job) -> dict[str, Any]:
    """`model.fit` in a loop that builds each model anew and clears Keras's state after it."""
    import keras

    data = _load(job)
    # What the first model of a process pays alone is no part of a warm loop.
    _traced(job, job.configurations[0], data)
    seconds = []
    for params in job.configurations:
        started = time.perf_counter()
        keras.backend.clear_session()
        _fit(_build(job, params), params, data, job.epochs)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "ended": time.time()}


def plain_ray(job: Job) -> dict[str, Any]:
    """A function trainable as Ray Tune's own examples have it; all settings are Ray's defaults."""
    import ray
    from ray import tune

    from automl_img.search.hardware import core_count, gpu_names

    def trainable(config: dict[str, Any]) -> None:
        import keras

        def report(epoch: int, logs: dict[str, float]) -> None:
            tune.report({"val_accuracy": logs["val_accuracy"]})

        model, data = _build(job, config["params"]), _load(job)
        reporting = keras.callbacks.LambdaCallback(on_epoch_end=report)
        _fit(model, config["params"], data, job.epochs, reporting)

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    needs = {"cpu": core_count(), "gpu": min(1, len(gpu_names()))}
    tuner = tune.Tuner(
        tune.with_resources(trainable, needs),
        param_space={"params": tune.grid_search(job.configurations)},
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max"),
        run_config=tune.RunConfig(storage_path=str(Path(job.folder) / "ray"), verbose=0),
    )
    results = tuner.fit()
    ended = time.time()
    if results.num_errors or len(results) != len(job.configurations):
        raise RuntimeError(f"{results.num_errors} of {len(results)} trials failed")
    ray.shutdown()
    return {"trials": len(results), "ended": ended}


def keras_tuner_random(job: Job) -> dict[str, Any]:
    """`keras_tuner.RandomSearch` over the same configurations, each once, in its own order."""
    import keras_tuner

    class Configurations(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: Any) -> Any:
            return _build(job, job.configurations[hp.Choice("place", places)])

    places = list(range(len(job.configurations)))
    data = _load(job)
    tuner = keras_tuner.RandomSearch(
        Configurations(),
        objective="val_accuracy",
        max_trials=len(places),
        directory=job.folder,
        project_name="keras-tuner",
    )
    # Else it stops before the last ones, as it draws what it has tried.
    tuner.oracle._max_collisions = 100_000
    tuner.search(
        data["x"],
        data["y"],
        batch_size=job.configurations[0]["batch_size"],
        epochs=job.epochs,
        validation_data=(data["vx"], data["vy"]),
        validation_batch_size=_VALIDATION_BATCH,
        verbose=0,
    )
    ended, trials = time.time(), len(tuner.oracle.trials)
    if trials != len(places):
        raise RuntimeError(f"KerasTuner ran {trials} of {len(places)} trials")
    return {"trials": trials, "ended": ended}


def _load(job: Job) -> dict[str, np.ndarray]:
    with np.load(job.arrays) as arrays:
        return {name: arrays[name] for name in ("x", "y", "vx", "vy")}


def _one_each(job: Job) -> list[dict[str, Any]]:
    """The first configuration of each structure."""
    return list({structure(params): params for params in reversed(job.configurations)}.values())


def _build(job: Job, params: dict[str, Any]) -> Any:
    from automl_img.models.hypermodel import ImageClassifier, bind
    from automl_img.models.network import ImageFacts

    return ImageClassifier(ImageFacts(**job.facts), seed=0).build(bind(params))


def _traced(job: Job, params: dict[str, Any], data: dict[str, np.ndarray]) -> Any:
    """The model of ``params``, after one epoch: its graphs for training and validation are made."""
    model = _build(job, params)
    _fit(model, params, data, 1)
    return model


def _fit(
    model: Any,
    params: dict[str, Any],
    data: dict[str, np.ndarray],
    epochs: int,
    *callbacks: Any,
) -> float:
    """Seconds of ``epochs`` epochs, each with its validation."""
    started = time.perf_counter()
    model.fit(
        data["x"],
        data["y"],
        batch_size=params["batch_size"],
        epochs=epochs,
        validation_data=(data["vx"], data["vy"]),
        validation_batch_size=_VALIDATION_BATCH,
        callbacks=list(callbacks),
        verbose=0,
    )
    return time.perf_counter() - started
