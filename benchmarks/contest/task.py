"""What a cell is told, and what a system must say of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl_img.files import read_json_lines, write_json

_FILE = "task.json"
_PROGRESS = "progress.jsonl"
PREDICTIONS = "predictions.npy"

# (seconds since the process started, best validation accuracy by then), ascending in both.
Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Task:
    """One cell, as the process of its system reads it.

    Attributes:
        system, track, seed: which cell.
        seconds: of wall time from the start of the process; then it is killed.
        began: when the process was started, in seconds since 1970.
        folder: where it may write; what lies there at its end is scored.
        table: CSV with the columns path, label, split, of all images.
        arrays: ``.npz`` of the same training (x, y) and validation (vx, vy) images, decoded:
            uint8 (images, side, side, channels) and int64 (images,).
        test_images: ``.npy``, uint8, as ``arrays``; there only when the cell is scored.
        class_names: in the order of the labels.
        facts: the keywords of ``ImageFacts``.
        weights_dir: folder with the pretrained weights, or None.
    """

    system: str
    track: str
    seed: int
    seconds: float
    began: float
    folder: str
    table: str
    arrays: str
    test_images: str
    class_names: tuple[str, ...]
    facts: dict[str, Any]
    weights_dir: str | None

    @property
    def file(self) -> Path:
        """Where ``save`` writes it."""
        return Path(self.folder) / _FILE

    def save(self) -> None:
        write_json(self.file, asdict(self))

    @classmethod
    def read(cls, path: str | Path) -> Task:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(**{**values, "class_names": tuple(values["class_names"])})

    @property
    def progress(self) -> Path:
        """Lines of {"seconds", "val_accuracy"}, one an epoch, which the systems here write."""
        return Path(self.folder) / _PROGRESS


def written_curve(task: Task) -> Curve:
    """The curve of a system that wrote its progress, epoch by epoch."""
    lines = read_json_lines(task.progress)
    return rising([(line["seconds"], line["val_accuracy"]) for line in lines])


def rising(points: Curve) -> Curve:
    """The points of ``points``, in order of time, that are better than all before them."""
    found: Curve = []
    for seconds, accuracy in sorted(points):
        value = round(accuracy, 6)
        if not found or value > found[-1][1]:
            found.append((round(seconds, 2), value))
    return found


@dataclass(frozen=True)
class System:
    """One system of the comparison.

    Attributes:
        name: as in the table.
        start: the command of its process, whose time is taken.
        predict: a command that writes ``PREDICTIONS`` into the folder of the task: int64, for each
            of the test images the label that what is on the disk predicts.
        curve: its best validation accuracy over time.
        tracks: those that it takes part in.
        why_not: a sentence that says why it cannot run here; None where it can. May take minutes:
            it installs what is missing.
        ablation: of automl-img; it decides no goal.
    """

    name: str
    start: Callable[[Task], list[str]]
    predict: Callable[[Task], list[str]]
    curve: Callable[[Task], Curve] = written_curve
    tracks: tuple[str, ...] = ("scratch", "transfer")
    why_not: Callable[[], str | None] = lambda: None
    ablation: bool = False
