"""Train settings from scratch on 4,000 images of CIFAR-10, to choose those of the start set.

    python benchmarks/portfolio/defaults.py --seeds 0 30 cnn.filters=32 cnn.depth=3
    python benchmarks/portfolio/defaults.py 12 cnn.filters=32 + 24 cnn.filters=16

Each candidate is a number of epochs and values as ``--fix`` takes them; the rest is at its default.
Candidates are told apart on 10,000 images that are neither trained on nor test images: 400 of each
class of the training archive are for training, the next 100 for validation after each epoch, the
next 1,000 for the comparison. Seconds are those of the epochs, without the first graph, whose
seconds stand beside them; on a machine that others use, the CPU's seconds say more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "cifar10.zip"
TRAINED, VALIDATED, COMPARED = 400, 100, 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Train every candidate with every seed and print a line of JSON for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", type=Path, default=ARCHIVE, help="CIFAR-10 in class folders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("candidates", nargs="+", metavar="EPOCHS NAME=VALUE ... [+ ...]")
    asked = parser.parse_args(arguments)
    candidates = list(candidates_of(asked.candidates))
    with tempfile.TemporaryDirectory(prefix="automl-img-defaults-") as folder:
        names, others = write_images(asked.archive, Path(folder))
        for epochs, typed in candidates:
            for seed in asked.seeds:
                found = train(Path(folder), names, others, epochs, typed, seed)
                print(json.dumps(found), flush=True)


def candidates_of(words: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(epochs, values as typed) of each part of the command line between the plus signs."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "+":
            parts.append([])
        else:
            parts[-1].append(word)
    return [(int(first), dict(pair.split("=", 1) for pair in pairs)) for first, *pairs in parts]


def write_images(archive: Path, folder: Path) -> tuple[tuple[str, ...], Any]:
    """Write the pixels and rows of a trial; return the class names, and (images, labels) of those
    for the comparison, uint8 and int64."""
    from PIL import Image

    most = TRAINED + VALIDATED + COMPARED
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            split, label, file = name.split("/")[1:]
            if split == "train" and file and (number := int(file.partition(".")[0])) < most:
                pixels = np.asarray(Image.open(BytesIO(members.read(name))).convert("RGB"))
                found.setdefault(label, []).append((number, pixels))
    names = tuple(sorted(found))
    images = np.stack([pixels for name in names for _, pixels in sorted(found[name], key=_number)])
    labels = np.repeat(np.arange(len(names)), most)
    place = np.tile(np.arange(most), len(names))
    part = place < TRAINED + VALIDATED
    np.save(folder / "images.npy", images[part])
    np.savez(
        folder / "rows.npz",
        train=np.flatnonzero(place[part] < TRAINED),
        validation=np.flatnonzero(place[part] >= TRAINED),
        labels=labels[part],
    )
    return names, (images[~part], labels[~part])


def train(
    folder: Path,
    names: tuple[str, ...],
    others: Any,
    epochs: int,
    typed: dict[str, str],
    seed: int,
) -> dict[str, Any]:
    """What one candidate reached, and what it cost."""
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import Preset, build_space
    from automl_img.training.predict import predict_rows
    from automl_img.training.trainer import Trainer
    from automl_img.trials import TrialSpec

    params = build_space("defaults", Preset(), declared(), {}, typed).nearest({})
    spec = TrialSpec(
        number=0,
        params=params,
        seed=seed,
        max_epochs=epochs,
        pixels=str(folder),
        rows=str(folder / "rows.npz"),
        train_on_all=False,
        class_names=names,
        flips=True,
        folder=tempfile.mkdtemp(dir=folder),
    )
    trainer = Trainer(spec, checkpoint_seconds=float("inf"))
    cpu, results = [time.process_time()], []
    for result in trainer.epochs():
        cpu.append(time.process_time())
        results.append(result)
    images, labels = others
    chosen = predict_rows(trainer.serving, images, np.arange(len(images)), 500).argmax(axis=1)
    # The first epoch has the graph in it; the others say what an epoch costs.
    later = [result.seconds for result in results[1:]] or [results[0].seconds]
    each, each_cpu = (
        float(np.median(later)),
        float(np.median(np.diff(cpu)[1:] if epochs > 1 else np.diff(cpu))),
    )
    return {
        "settings": typed,
        "epochs": len(results),
        "seed": seed,
        "accuracy": round(float((chosen == labels).mean()), 4),
        "validation": [round(float(result.val_accuracy or 0.0), 3) for result in results],
        "seconds": round(each * len(results), 1),
        "cpu_seconds": round(each_cpu * len(results), 1),
        "graph_seconds": round(results[0].seconds - each, 1),
        "parameters": trainer.parameters,
    }


def _number(item: tuple[int, Any]) -> int:
    return item[0]


if __name__ == "__main__":
    main()
