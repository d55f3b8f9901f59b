"""Learning curves of real trials, each trained to the end, for the simulator to replay.

Trials of random points of a space run one after the other in one warm process and without early
stopping; `benchmarks/curves/NAME.json` gets a line for each. The start set of a search on such data
follows, in a list of its own. What is there already is not run again, so a collection can be cut
short and gone on with. Seconds are those of the processor, with one thread, so that they hold on a
machine that does other things too: of an ordinary epoch, and "fixed" for all that the epochs do not
explain. The mixed space has backbones that this script trained itself, on six classes of CIFAR-10
that it is not tried on: real transfer, though from much less than ImageNet. Their weights stay in
the cache folder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import frame
import numpy as np
import trials
from simulation.data_sets import COLLECTIONS, Collection, weights_of_mixed
from simulation.tasks import facts_of_file

from automl_img.data.prepare import Prepared
from automl_img.files import write_text
from automl_img.models.hyperparameters import declared
from automl_img.search.rungs import ladder_of
from automl_img.search.start import start_set
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import build_space
from automl_img.trials import EpochResult, Params

GOAL = "every trial asked for was run to its last epoch, or failed"
CURVES = frame.FOLDER / "curves"
# Then the time of the processor is what a trial takes alone, whatever else runs on the machine.
_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
# Above any number of epochs here: curves are wanted whole.
_NO_EARLY_STOPPING = 1000
# Numbers of trials, which seed them, above those of all others.
_FIRST_OF_START = 1000
# Graphs of one space; a search keeps fewer, but waits no shorter for the first of each.
_GRAPHS = 24


def main() -> None:
    asked = _asked()
    frame.quiet()
    os.environ.update(_ONE_THREAD)
    begun, ran, lengths = time.perf_counter(), 0, set()
    with frame.workspace() as folder:
        for name in asked.names:
            into = folder / "curves" if asked.short else CURVES
            epochs = asked.epochs or COLLECTIONS[name].epochs
            for trial in collect(name, into, asked.trials, epochs, asked.seconds, asked.seed):
                ran += 1
                lengths.add(trial["failed"] or len(trial["val_accuracy"]) == epochs)
                best = max(trial["val_accuracy"], default=0.0)
                place = trial.get("number", "start")
                print(f"{name} {place}: {trial['family']}, {best:.3f}", flush=True)
    figures = {"trials": ran, "seconds": round(time.perf_counter() - begun, 1)}
    # The curves are the result; of the run itself nothing is kept.
    frame.finish("collect", figures, GOAL, all(lengths), short=True)


def _asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(COLLECTIONS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names}; all without one")
    parser.add_argument("--trials", type=int, default=60, help="trials in all of a file")
    parser.add_argument("--epochs", type=int, help="of a trial, for a new file")
    parser.add_argument("--seconds", type=float, default=600.0, help="for a file; none starts then")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="see that it works; keeps no curve")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(COLLECTIONS):
        parser.error(f"NAME must be one of {names}, but got {min(unknown)!r}")
    if asked.short:
        asked.names, asked.trials, asked.epochs = ["digits"], 2, 3
    asked.names = asked.names or list(COLLECTIONS)
    return asked


def collect(
    name: str, into: Path, count: int, epochs: int, seconds: float, seed: int
) -> Iterator[dict[str, Any]]:
    """Run what is missing of the first ``count`` trials of ``name`` and of its start set, and yield
    each as it is kept.

    Args:
        into: the folder of the files; a file that is there is gone on with.
        epochs: of each trial, in a new file.
        seconds: no trial starts later than so long after the first; the weights of the mixed space
            are made before.
        seed: of the points and of the trials.
    """
    collection = COLLECTIONS[name]
    path = into / f"{name}.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    with tempfile.TemporaryDirectory(prefix="automl-img-bench-") as place:
        folder = Path(place)
        weights = weights_of_mixed(folder) if collection.space == "mixed" else {}
        data = frame.Images(collection.images(folder), collection.words)
        ready = frame.prepared(data, seed=seed, **collection.settings)
        space = build_space(collection.space, collection.preset, declared(), {}, {})
        kept = known or _head(collection, ready, epochs, seed)
        begun = time.perf_counter()
        runner = _Runner(ready, folder, weights, int(kept["epochs"]))
        missing = list(enumerate(points_of(space, count, int(kept["seed"]))))
        for number, point in missing[len(kept["trials"]) :]:
            if time.perf_counter() - begun > seconds:
                return
            own = {"number": number, "params": _searched(point, space)}
            kept["trials"].append({**own, **runner.run(number, point)})
            write_text(path, _as_text(kept))
            yield kept["trials"][-1]
        recorded = [trial["params"] for trial in kept.setdefault("start", [])]
        for place, point in enumerate(start_set(space, facts_of_file(kept))):
            wanted = _searched(point, space)
            if time.perf_counter() - begun > seconds:
                return
            if wanted not in recorded:
                recorded.append(wanted)
                trial = runner.run(_FIRST_OF_START + place, point)
                kept["start"].append({"params": wanted, **trial})
                write_text(path, _as_text(kept))
                yield kept["start"][-1]


def _searched(point: Params, space: SearchSpace) -> Params:
    return {name: point[name] for name in point if name in space.searched}


def points_of(space: SearchSpace, count: int, seed: int) -> list[Params]:
    """The start set of ``space``, then random points, ``count`` in all; the first ones of more."""
    import optuna

    from automl_img.search.arm import suggest

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    points = [space.nearest(point) for point in start_set(space)]
    return [*points, *(suggest(space, study.ask()) for _ in range(count - len(points)))][:count]


def _head(collection: Collection, ready: Prepared, epochs: int, seed: int) -> dict[str, Any]:
    parts = {part: len(rows) for part, rows in ready.split.parts().items()}
    return {
        "data": {
            "words": collection.words,
            "train": parts["train"],
            "validation": parts["validation"],
            "classes": len(ready.class_names),
            "size": ready.image_size,
            "channels": ready.channels,
        },
        "space": collection.space,
        "preset": collection.preset.model_dump(),
        "epochs": epochs,
        "seed": seed,
        "machine": frame.machine(),
        "trials": [],
    }


class _Runner:
    """Trains trials in this process, which keeps the graphs as a worker does."""

    def __init__(self, ready: Prepared, folder: Path, weights: dict[str, str], epochs: int) -> None:
        from automl_img.training.graphs import GraphCache

        self._ready, self._folder, self._weights = ready, folder, weights
        self._epochs = epochs
        self._graphs = GraphCache(_GRAPHS)

    def run(self, number: int, params: Params) -> dict[str, Any]:
        """The curve of a trial of ``params``."""
        from automl_img.training.guards import as_trial_failure, release_memory
        from automl_img.training.trainer import Trainer

        backbone = str(params["backbone"])
        spec = trials.spec_of(
            self._ready,
            self._folder / f"trial-{number}",
            {**params, "early_stopping.patience": _NO_EARLY_STOPPING},
            number=number,
            seed=number,
            max_epochs=self._epochs,
            weights=self._weights.get(backbone),
            features=str(self._folder / "features"),
            feature_bytes=10**9,
        )
        release_memory()
        results: list[EpochResult] = []
        failed = None
        ticks = [time.process_time()]
        try:
            for result in Trainer(spec, self._graphs, checkpoint_seconds=1e9).epochs():
                results.append(result)
                ticks.append(time.process_time())
        except Exception as error:
            failed = as_trial_failure(error).reason
        whole = time.process_time() - ticks[0]
        epoch = statistics.median(np.diff(ticks)) if results else whole
        return {
            "family": backbone,
            "ladder": ladder_of(params),
            "failed": failed,
            "val_accuracy": [round(result.val_accuracy or 0.0, 4) for result in results],
            "val_loss": [round(result.val_loss or 0.0, 4) for result in results],
            "seconds": round(float(epoch), 4),
            # What the epochs do not explain: building, tracing, features, the first slow steps.
            "fixed": round(max(whole - epoch * max(len(results), 1), 0.0), 3),
        }


def _as_text(kept: dict[str, Any]) -> str:
    """JSON with a line for each trial, so that a longer collection is a short diff."""
    text = json.dumps({**kept, "trials": [], "start": []}, indent=1)
    for name in ("trials", "start"):
        lines = ",\n".join(json.dumps(trial) for trial in kept.get(name, []))
        text = text.replace(f'"{name}": []', f'"{name}": [\n{lines}\n]')
    return f"{text}\n"


if __name__ == "__main__":
    main()
