"""How much a worker process grows from trial to trial, beside `keras_tuner.RandomSearch`.

One process trains many small trials one after the other, each with other hyperparameters (filters,
depth, dropout, l2, optimizer, batch size), so that graphs are made, kept and dropped. It does what
a worker of a search does: it gives back memory, then trains with `Trainer` and the graphs it keeps.
Beside it `keras_tuner.RandomSearch` runs as many trials over the same space, with the same models,
in a process of its own, with batches of 32, as KerasTuner leaves the batch size to who calls it.
After each trial the resident memory is read. The slope is the line of least squares from the
eleventh trial on: what a first trial of its kind makes is no leak.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import frame
import numpy as np

from automl_img.search.resources import share
from automl_img.search.worker import environment
from automl_img.space.dimensions import SearchSpace

GOAL = "the resident memory of a worker grows by less than 0.5 MB a trial"
_MOST_MB = 0.5
_TRIALS, _TRIALS_SHORT = 100, 25
_WARMUP = 10
_EPOCHS = 2
_SEARCHED = {
    "cnn.depth": "1..3",
    "cnn.filters": "8..24",
    "head.dropout": "0..0.5",
    "regularization.l2": "1e-6..1e-3:log",
    "optimizer.name": "adam,sgd,rmsprop",
    "optimizer.learning_rate": "1e-4..1e-2:log",
    "batch_size": "32,64,128",
}
_FIXED = {"cnn.convolutions": "1", "augment.strength": "0.5"}


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    trials = _TRIALS_SHORT if short else _TRIALS
    figures: dict[str, float | int | str | bool] = {
        "images": frame.digits().words,
        "trials": trials,
        "epochs a trial": _EPOCHS,
    }
    with frame.workspace() as folder:
        _write_specs(folder, trials)
        ours = _in_own_process("worker", folder, trials)
        theirs = _in_own_process("random_search", folder, trials)
    slope, other = _slope(ours["megabytes"]), _slope(theirs["megabytes"])
    figures |= {
        "ours, MB a trial": round(slope, 3),
        "keras_tuner.RandomSearch, MB a trial": round(other, 3),
        "ours, MB after trial 10": round(ours["megabytes"][_WARMUP - 1]),
        "ours, MB at the end": round(ours["megabytes"][-1]),
        "keras_tuner.RandomSearch, MB after trial 10": round(theirs["megabytes"][_WARMUP - 1]),
        "keras_tuner.RandomSearch, MB at the end": round(theirs["megabytes"][-1]),
        "ours, graphs traced": ours["graphs"],
    }
    frame.finish("memory", figures, GOAL, slope < _MOST_MB, short)


def worker(folder: Path, trials: int) -> dict[str, Any]:
    """Train the trials of ``folder`` as a worker does; runs in a process of its own.

    Ray and Optuna are left out: what Ray holds does not depend on the trial, and Optuna is asked by
    the driver. Follows ``search/worker.py``.
    """
    import gc

    from automl_img.training.graphs import GraphCache
    from automl_img.training.guards import release_memory
    from automl_img.training.trainer import Trainer
    from automl_img.trials import TrialSpec

    gc.collect()
    gc.freeze()
    graphs, traced = GraphCache(), 0
    megabytes = []
    specs = json.loads((folder / "specs.json").read_text(encoding="utf-8"))
    for spec in specs[:trials]:
        release_memory()
        trainer = Trainer(TrialSpec(**spec), graphs)
        if len(list(trainer.epochs())) != _EPOCHS:
            raise RuntimeError(f"trial {spec['number']} did not run its epochs")
        traced += trainer.graphs_traced
        megabytes.append(_resident())
    return {"megabytes": megabytes, "graphs": traced}


def random_search(folder: Path, trials: int) -> dict[str, Any]:
    """`keras_tuner.RandomSearch` over the same space; runs in a process of its own."""
    import keras_tuner

    from automl_img.models.hypermodel import ImageClassifier
    from automl_img.models.network import ImageFacts

    megabytes: list[float] = []

    class Measured(ImageClassifier):
        def fit(self, *arguments: Any, **keywords: Any) -> Any:
            """The training of a trial, as KerasTuner calls it."""
            history = super().fit(*arguments, **keywords)
            megabytes.append(_resident())
            return history

    ready = frame.prepared(frame.digits())
    x, y, validation_x, validation_y = frame.arrays(ready)
    facts = ImageFacts(ready.image_size, ready.channels, len(ready.class_names), ready.flips)
    tuner = keras_tuner.RandomSearch(
        Measured(facts, _space()),
        objective="val_accuracy",
        max_trials=trials,
        directory=folder,
        project_name="keras-tuner",
        seed=0,
    )
    tuner.search(x, y, epochs=_EPOCHS, validation_data=(validation_x, validation_y), verbose=0)
    if len(megabytes) != trials:
        raise RuntimeError(f"KerasTuner trained {len(megabytes)} of {trials} trials")
    return {"megabytes": megabytes}


def _in_own_process(function: str, folder: Path, trials: int) -> dict[str, Any]:
    """What a function of this module returns, run in a new process.

    Raises:
        RuntimeError: it failed.
    """
    code = (
        "import json, pathlib, sys, memory; "
        f"print(json.dumps(memory.{function}(pathlib.Path(sys.argv[1]), {trials})))"
    )
    done = subprocess.run(
        frame.python("-c", code, folder),
        cwd=frame.FOLDER,
        env={**os.environ, **environment(share(1, None))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _resident() -> float:
    """Megabytes of this process that lie in memory."""
    import psutil

    return float(psutil.Process().memory_info().rss / 1e6)


def _slope(megabytes: list[float]) -> float:
    """Megabytes a trial, by least squares, from the eleventh trial on."""
    later = np.asarray(megabytes[_WARMUP:])
    return float(np.polynomial.Polynomial.fit(np.arange(len(later)), later, 1).convert().coef[1])


def _write_specs(folder: Path, trials: int) -> None:
    """Random points of the space, as the driver of a search hands them to its workers."""
    from automl_img.search.sampler import Sampler

    ready = frame.prepared(frame.digits())
    rows = ready.rows_arrays()
    names = ("train", "validation", "labels")
    np.savez(folder / "rows.npz", allow_pickle=False, **{name: rows[name] for name in names})
    shared = {
        "max_epochs": _EPOCHS,
        "pixels": str(ready.pixels.folder.absolute()),
        "rows": str(folder / "rows.npz"),
        "train_on_all": False,
        "class_names": ready.class_names,
        "flips": ready.flips,
    }
    sampler = Sampler(folder / "study.db", _space(), "random", 0)
    specs = []
    for _ in range(trials):
        suggestion = sampler.ask()
        assert suggestion is not None
        own = {"folder": str(folder / "trials" / str(suggestion.number))}
        specs.append({**vars(suggestion), **shared, **own})
    sampler.close()
    (folder / "specs.json").write_text(json.dumps(specs), encoding="utf-8")


def _space() -> SearchSpace:
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import build_space, find_preset, read_preset

    preset = read_preset(find_preset("cnn_small"))
    return build_space("cnn_small", preset, declared(), _SEARCHED, _FIXED)


if __name__ == "__main__":
    main()
