"""What every benchmark shares: its options, its clock, its images, its result.

A benchmark is a script beside this file. It asks ``asked_short``, measures with ``alternate`` or
``wall``, and ends with ``finish``. Scripts run as ``python benchmarks/NAME.py``, which puts this
folder on Python's path: hence a plain ``import frame``. Nothing here imports TensorFlow or Ray.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data.prepare import Prepared, prepare
from automl_img.files import write_json
from automl_img.search.hardware import core_count, describe_versions, gpu_names
from automl_img.search.resources import Resources, describe_hardware
from automl_img.settings import SearchSettings

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
# Real images beside a checkout, which the tests read too; see tests/conftest.py.
_CIFAR10 = FOLDER.parent.parent / "shared" / "data" / "cifar10.zip"
_KEYS = {"name", "figures", "goal", "met"}
_GENERATED_CLASSES = 10
_GENERATED_SIDE = 32
_TINY_SIDE = 16

Figures = Mapping[str, float | int | str | bool]


def asked_short(about: str | None, arguments: Sequence[str] | None = None) -> bool:
    """Read the command line of a benchmark: whether ``--short`` was given.

    Args:
        about: the docstring of the script, which ``--help`` shows.
        arguments: None takes those of the process.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--short", action="store_true", help="see that it works, in a minute; keeps no result"
    )
    return bool(parser.parse_args(arguments).short)


def quiet() -> None:
    """Silence TensorFlow and Ray, and choose the backend that workers have.

    To be called before Keras is imported, here or in a child process.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@dataclass(frozen=True)
class Times:
    """Seconds of the same work, done several times."""

    seconds: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def over(self, other: Times) -> float:
        """The fastest of these over the fastest of ``other``.

        What else runs on a machine only ever adds time, so the fastest of several is the nearest
        to the work itself. ``median_over`` says whether the ordinary case agrees.
        """
        return self.best / other.best

    def median_over(self, other: Times) -> float:
        return self.median / other.median


def alternate(
    work: Mapping[str, Callable[[], object]], rounds: int, warmups: int = 1
) -> dict[str, Times]:
    """Time each of ``work`` once a round, so that a machine that slows down slows all alike.

    The order is turned round every other round: what comes first may find colder caches.

    Args:
        warmups: rounds before, not counted.
    """
    names = list(work)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmups + rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            started = time.perf_counter()
            work[name]()
            elapsed = time.perf_counter() - started
            if turn >= warmups:
                seconds[name].append(elapsed)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def wall(command: Sequence[str | Path], **options: Any) -> float:
    """Seconds of a whole process, start to exit; what it prints is dropped.

    Raises:
        RuntimeError: it failed; the last lines that it wrote are in the message.
    """
    started = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, **options)
    elapsed = time.perf_counter() - started
    if done.returncode:
        lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        raise RuntimeError("\n".join([f"exit code {done.returncode}", *lines[-15:]]))
    return elapsed


def in_ratios(name: str, ours: Times, other: Times, digits: int = 3) -> dict[str, float]:
    """The figures of one comparison: the ratio that counts, and what it was made of."""
    return {
        name: round(ours.over(other), digits),
        f"{name}, by medians": round(ours.median_over(other), digits),
        f"{name}: ours, seconds": round(ours.best, 4),
        f"{name}: theirs, seconds": round(other.best, 4),
    }


@dataclass(frozen=True)
class Images:
    """Images for a benchmark.

    Attributes:
        data: what ``automl-img search`` takes.
        words: what they are, for the figures.
    """

    data: str
    words: str


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder for runs, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="automl-img-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def small_images(folder: Path, per_class: int = 500) -> Images:
    """Class folders of ten classes at 32 by 32 pixels, RGB, written to ``folder``.

    Taken from CIFAR-10 where it lies in ../shared/data, else generated; ``words`` says which.

    Args:
        per_class: images of each class; CIFAR-10 has at most 5,000.
    """
    into = folder / f"images-{per_class}"
    if _CIFAR10.exists():
        with zipfile.ZipFile(_CIFAR10) as archive:
            for name in archive.namelist():
                split, label, file = name.split("/")[1:]
                if split == "train" and int(file.partition(".")[0]) < per_class:
                    (into / label).mkdir(parents=True, exist_ok=True)
                    (into / label / file).write_bytes(archive.read(name))
        return Images(str(into), "CIFAR-10")
    from PIL import Image

    rng = np.random.default_rng(0)
    for place, ground in enumerate(rng.integers(40, 215, (_GENERATED_CLASSES, 1, 1, 3))):
        (into / f"class{place}").mkdir(parents=True)
        for number in range(per_class):
            noise = rng.integers(-40, 40, (_GENERATED_SIDE, _GENERATED_SIDE, 3))
            image = Image.fromarray((ground + noise).astype(np.uint8))
            image.save(into / f"class{place}" / f"{number:05d}.png")
    return Images(str(into), "generated noise; ../shared/data is missing")


def noise(folder: Path, images: int) -> None:
    """Write class folders of ten classes at 16 by 16 pixels, RGB: noise around a colour of each.

    A class has its images in folders of a thousand. Written by a process a core.
    """
    with ProcessPoolExecutor() as pool:
        each = images // _GENERATED_CLASSES
        list(pool.map(_noise, [(folder, label, each) for label in range(_GENERATED_CLASSES)]))


def _noise(asked: tuple[Path, int, int]) -> None:
    """The images of one class."""
    from PIL import Image

    folder, label, images = asked
    rng = np.random.default_rng(label)
    ground = rng.integers(60, 190, 3)
    for number in range(images):
        place = folder / f"class{label}" / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = (ground + rng.integers(-60, 60, (_TINY_SIDE, _TINY_SIDE, 3))).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:07d}.png", compress_level=1)


def digits() -> Images:
    """The 1,797 images of 8 by 8 pixels that come with scikit-learn."""
    return Images("digits", "digits of scikit-learn")


def prepared(images: Images, **settings: Any) -> Prepared:
    """``images`` through the project's own reading, splitting and decoding; copies stay among them,
    so that they are those of earlier results."""
    return prepare(SearchSettings(data=images.data, **{"keep_copies": True, **settings}))


def arrays(ready: Prepared) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(images, labels) for training, then for validation: uint8 and int64, all in memory."""
    rows = ready.rows_arrays()
    train, validation, labels = rows["train"], rows["validation"], rows["labels"]
    pixels = ready.pixels.images
    return (
        np.ascontiguousarray(pixels[train]),
        labels[train],
        np.ascontiguousarray(pixels[validation]),
        labels[validation],
    )


def machine() -> dict[str, Any]:
    """The machine and the versions that the figures depend on; no names of hosts, no paths."""
    known = describe_hardware(Resources(1, core_count(), len(gpu_names()), 0.0))
    kept = {key: known[key] for key in ("cpu", "cores", "memory_gb", "gpus")}
    names = ("python", "keras", "tensorflow", "ray", "optuna", "keras-tuner")
    return {**kept, "versions": {name: describe_versions()[name] for name in names}}


def finish(name: str, figures: Figures, goal: str, met: bool, short: bool) -> None:
    """Print the figures and, as the last line, the result as JSON; keep it if it was a full run.

    Args:
        figures: numbers and short texts by their names, in the order to be read.
        goal: what had to be reached, as a sentence with its number.
        short: a short form shows that the script works; its figures are not kept.
    """
    result = {"name": name, "figures": dict(figures), "goal": goal, "met": met}
    check(result)
    width = max(map(len, figures))
    print(f"\n{name}{' (short form)' if short else ''}")
    for key, value in figures.items():
        print(f"  {key:<{width}}  {value}")
    print(f"  goal: {goal}: {'met' if met else 'NOT met'}\n")
    if not short:
        RESULTS.mkdir(exist_ok=True)
        kept = {"date": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine()}
        write_json(RESULTS / f"{name}.json", {**result, **kept})
    print(json.dumps(result), flush=True)


def cannot_run(name: str, goal: str, reason: str) -> None:
    """End a benchmark that this machine cannot run; prints the line of JSON, keeps nothing."""
    finish(name, {"not measured": reason}, goal, met=False, short=True)


def check(result: Mapping[str, Any]) -> None:
    """
    Raises:
        ValueError: ``result`` is not what the last line of a benchmark must hold.
    """
    if set(result) != _KEYS:
        raise ValueError(f"a result has the keys {sorted(_KEYS)}, but got {sorted(result)}")
    if not (FOLDER / f"{result['name']}.py").exists():
        raise ValueError(f"a result is named after its script, but got {result['name']!r}")
    if not result["goal"] or type(result["met"]) is not bool:
        raise ValueError("a result has a goal and says with True or False whether it was met")
    if not result["figures"]:
        raise ValueError("a result has at least one figure")
    for key, value in result["figures"].items():
        number = isinstance(value, int | float) and math.isfinite(value)
        if not (number or isinstance(value, str)):
            raise ValueError(f"a figure is a finite number or a text, but {key!r} is {value!r}")


def python(*arguments: str | Path) -> list[str]:
    """The command that runs this Python with ``arguments``."""
    return [sys.executable, *map(str, arguments)]


def program(name: str) -> str:
    """A program of this Python's environment, such as ``automl-img``."""
    return str(Path(sys.executable).parent / name)
