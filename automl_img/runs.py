"""The run folder: the interface between the search and everything that comes after it.

runs/NAME/
  run.json               command, settings, versions, hardware, data, status, seconds a phase
  space.yaml             the search space
  split.csv              path, label and split of each image used
  left_out.jsonl         images that were not used, with the reason
  study.db               the Optuna study (SQLite), unless it is on a server
  start.json             what is tried before the sampler is asked
  started.jsonl          one line each time that a trial is handed to a worker
  trials.jsonl           one TrialRecord a line, written as each trial ends; of a trial that went on
                         later, the last line counts
  final.json             the trial that was retrained, and the steps that are done with it
  winner.json            parameters and history of the retrained winner
  test.json              scores on the test images
  ensemble.json          members of the ensemble, its scores on the test images; where one was made
  label_errors.json      which labels are probably wrong; where cleanlab is installed
  errors.log             traces of trials that failed unforeseen
  trials/                checkpoints of trials that may go on, by their numbers
  predictions/           test.npz, ensemble.npz (test), trial-00007.npz (validation): labels,
                         probabilities, names
  thumbnails/            000123.webp: some test images, by their row in predictions/test.npz
  model.keras            the exported model
  ensemble.keras         the exported ensemble
  report.html, report.json
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from automl_img.errors import RunError
from automl_img.files import append_json_line, links_in, read_json_lines, replacing, write_json
from automl_img.trials import TrialRecord, TrialStart

if TYPE_CHECKING:
    # Longer to import than a list of runs takes to be made.
    import numpy as np

# In the run folder, while it is searched.
RAY = "ray"
# Of what a search can aim at, its name in ``test.json``.
TESTED = {
    "val_accuracy": "accuracy",
    "val_balanced_accuracy": "balanced_accuracy",
    "val_macro_f1": "macro_f1",
    "val_auc": "roc_auc",
    "val_loss": "log_loss",
    "val_map": "mean_average_precision",
    "val_jaccard": "jaccard",
}
Line = TypeVar("Line")


@dataclass(frozen=True)
class Predictions:
    """Predictions on one split.

    Attributes:
        labels: the truth, see ``automl_img.labels``.
        probabilities: float32, shape (images, classes): rows sum to 1 where each image has one
            class.
        names: file names relative to the data, length ``images``.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One run folder; every file of it is written whole or not at all.

    Attributes:
        url: where ``path`` is a copy of; None where it is the run itself.
    """

    path: Path
    url: str | None = None

    @property
    def known_as(self) -> str:
        """What a command takes for it."""
        return self.url or self.name

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def study(self) -> Path:
        return self.path / "study.db"

    @property
    def model(self) -> Path:
        return self.path / "model.keras"

    @property
    def ensemble(self) -> Path:
        return self.path / "ensemble.keras"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def info(self) -> dict[str, Any]:
        """``run.json``.

        Raises:
            RunError: it is missing or damaged.
        """
        try:
            return dict(json.loads((self.path / "run.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise RunError(f"{self.path} is not a run folder: it has no run.json") from None
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"run.json of {self.path} cannot be read: {error}") from None

    def update_info(self, **values: Any) -> None:
        """Set top-level keys of ``run.json``."""
        write_json(self.path / "run.json", {**self.info, **values})

    def trials(self) -> list[TrialRecord]:
        """The records of all trials that ended, in order of their numbers.

        Raises:
            RunError: a line is damaged.
        """
        records = self._lines("trials.jsonl", TrialRecord.from_json)
        last = {record.number: record for record in records}
        return [last[number] for number in sorted(last)]

    def append_trial(self, record: TrialRecord) -> None:
        """Keep the record of a trial that ended."""
        append_json_line(self.path / "trials.jsonl", record.to_json())

    def append_error(self, number: int, trace: str) -> None:
        """Keep what only a developer can read of how a trial failed."""
        with (self.path / "errors.log").open("a", encoding="utf-8") as stream:
            stream.write(f"trial {number}\n{trace}\n")

    def append_start(self, start: TrialStart) -> None:
        """Keep that a trial is handed to a worker, so that it can go on if this process ends."""
        append_json_line(self.path / "started.jsonl", dataclasses.asdict(start))

    def starts(self) -> list[TrialStart]:
        """Each time that a trial was handed to a worker, in order.

        Raises:
            RunError: a line is damaged.
        """
        return self._lines("started.jsonl", TrialStart.from_json)

    def _lines(self, name: str, read: Callable[[dict[str, Any]], Line]) -> list[Line]:
        try:
            return [read(line) for line in read_json_lines(self.path / name)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"a line of {name} of {self.path} cannot be read: {error!r}") from None

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The JSON file ``name`` of the run; None where the run has not come so far."""
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write_json(self, name: str, value: Any) -> None:
        write_json(self.path / name, value)

    def trial_folder(self, number: int) -> Path:
        """The folder of one trial, named by its number and never by its parameters."""
        return self.path / "trials" / f"{number:05d}"

    def write_predictions(self, name: str, predictions: Predictions) -> None:
        """Keep predictions as ``predictions/NAME.npz``."""
        import numpy as np

        with replacing(self.path / "predictions" / f"{name}.npz") as temporary:
            np.savez_compressed(
                temporary,
                labels=predictions.labels,
                probabilities=predictions.probabilities.astype(np.float32),
                names=np.array(predictions.names, dtype=np.str_),
            )

    @property
    def predictions_of_trials(self) -> list[str]:
        """Names of the kept predictions of trials for the validation images, by number."""
        return sorted(path.stem for path in (self.path / "predictions").glob("trial-*.npz"))

    def read_predictions(self, name: str) -> Predictions | None:
        """``predictions/NAME.npz``, or None where there is no such file."""
        path = self.path / "predictions" / f"{name}.npz"
        if not path.exists():
            return None
        import numpy as np

        with np.load(path, allow_pickle=False) as arrays:
            return Predictions(
                arrays["labels"], arrays["probabilities"], tuple(arrays["names"].tolist())
            )


def check_free(out: Path, name: str) -> None:
    """
    Raises:
        RunError: there is a run ``name`` in ``out``.
    """
    if (out / name).exists():
        raise RunError(
            f"a run named {name!r} exists already in {out}; go on with it by automl-img resume "
            f"{name}, or choose another --name"
        )


def create_run(out: Path, name: str, info: dict[str, Any]) -> Run:
    """Make the run folder ``out/name`` with its ``run.json``.

    Raises:
        RunError: there is such a run already, or the folder cannot be made.
    """
    check_free(out, name)
    path = out.absolute() / name
    try:
        path.mkdir(parents=True, exist_ok=False)
    except OSError as error:
        raise RunError(f"the run folder {path} cannot be made: {error.strerror}") from None
    write_json(path / "run.json", info)
    return Run(path)


def open_run(path: Path) -> Run:
    """The run in the folder ``path``.

    Raises:
        RunError: it is no run folder.
    """
    run = Run(path.absolute())
    if not (run.path / "run.json").is_file():
        raise RunError(f"{path} is not a run folder: it has no run.json")
    return run


def refuse_links(run: Run) -> None:
    """Refuse a run folder with links in it: a run has none, and what is written through one that
    somebody else made may be a file of the user.

    Raises:
        RunError: there is one.
    """
    link = next(links_in(run.path, RAY), None)
    if link is not None:
        raise RunError(
            f"a run folder has no links, but {run.path} has {link.relative_to(run.path)}; "
            "remove it if you trust who made this folder"
        )


def all_runs(out: Path) -> list[Run]:
    """The runs in ``out``, newest first; a folder whose ``run.json`` is damaged is left out."""
    found = []
    for path in out.glob("*/run.json"):
        run = Run(path.parent.absolute())
        with suppress(RunError):
            found.append((run.info.get("started") or 0.0, run.name, run))
    return [run for _, _, run in sorted(found, key=lambda each: each[:2], reverse=True)]


def find_run(name: str | Path | None, out: Path) -> Run:
    """The run ``name``, a folder or the name of one in ``out``; the newest one for None.

    Raises:
        RunError: there is no such run.
    """
    if name is None:
        runs = all_runs(out)
        if not runs:
            raise RunError(f"there is no run in {out}; start one with: automl-img search")
        return runs[0]
    for path in (Path(name), out / name):
        if (path / "run.json").is_file():
            return open_run(path)
    known = ", ".join(run.name for run in all_runs(out)[:5]) or "none yet"
    raise RunError(f"there is no run {str(name)!r} in {out}; runs there: {known}")


def remove_folders(paths: Iterable[Path]) -> None:
    """Delete folders that hold nothing anyone needs any more."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
