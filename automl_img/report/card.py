"""All that a run folder knows, read once into one frozen value: the facts, and no drawing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from automl_img.labels import are_sets
from automl_img.metrics import right
from automl_img.report.drawing import counted
from automl_img.report.facts import (
    Data,
    Ensemble,
    Scores,
    Search,
    Winner,
    known_epochs,
)
from automl_img.report.privacy import without_paths, without_paths_in
from automl_img.report.suspects import LabelErrors
from automl_img.runs import Predictions, Run
from automl_img.trials import TrialRecord, TrialState

FINALISTS = 5
PICTURES = 160
T = TypeVar("T")


# Told apart by identity, as what it holds can be neither compared nor hashed.
@dataclass(frozen=True, eq=False)
class Card:
    """The facts of a run; anything that the run folder lacks is None or empty.

    Attributes:
        name: of the run.
        info: ``run.json``, without absolute paths.
        data, search: parts of it.
        trials: all records, in order of numbers, error texts without absolute paths.
        winner: the retrained winner.
        test: its scores on the test images.
        predictions: of the test images.
        ensemble: the average of several models, where one was made.
        label_errors: which labels are probably wrong, where that was looked for.
        finalists: predictions of the best trials on the validation images, by number.
        thumbnails: WebP bytes by row of ``predictions``.
        groups: why each thumbnail was chosen, by row: "mistake", "unsure" or "random".
        notes: what could not be read, in sentences.
    """

    name: str
    info: dict[str, Any]
    data: Data
    search: Search
    trials: tuple[TrialRecord, ...]
    winner: Winner | None
    test: Scores | None
    predictions: Predictions | None
    ensemble: Ensemble | None
    label_errors: LabelErrors | None
    finalists: dict[int, Predictions]
    thumbnails: dict[int, bytes]
    groups: dict[int, str]
    notes: tuple[str, ...]

    @cached_property
    def usable(self) -> tuple[TrialRecord, ...]:
        """Trials that were validated."""
        return tuple(trial for trial in self.trials if trial.best is not None)

    @cached_property
    def finished(self) -> tuple[TrialRecord, ...]:
        """Usable trials that ran to their own end."""
        return tuple(trial for trial in self.usable if trial.state is TrialState.COMPLETE)

    @cached_property
    def stopped(self) -> tuple[TrialRecord, ...]:
        """Trials that a rung stopped, as others were better after as many epochs."""
        return tuple(trial for trial in self.usable if trial.stop_reason.startswith("rung"))

    @cached_property
    def failed(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if trial.state is TrialState.FAILED)

    @cached_property
    def best_trial(self) -> TrialRecord | None:
        """The search trial of the winner; without a winner, the best one."""
        if self.winner is not None:
            for trial in self.usable:
                if trial.number == self.winner.number:
                    return trial
        ended = self.finished or self.usable
        return max(ended, key=lambda trial: (reached(trial), -trial.number), default=None)

    @property
    def classes(self) -> tuple[str, ...]:
        if self.data.class_names:
            return self.data.class_names
        return self.test.class_names if self.test else ()

    def said(self, row: int) -> str:
        """The class that a test image is said to have, or of several all of them."""
        predictions = self.predictions
        assert predictions is not None
        probabilities = predictions.probabilities[row]
        if not are_sets(predictions.labels):
            return self.class_name(int(probabilities.argmax()))
        thresholds = self.test.thresholds if self.test else None
        return self._named(probabilities >= (0.5 if thresholds is None else thresholds))

    def true(self, row: int) -> str:
        """The class that a test image has, or of several all of them."""
        predictions = self.predictions
        assert predictions is not None
        label = predictions.labels[row]
        return self._named(label) if np.ndim(label) else self.class_name(int(label))

    def _named(self, chosen: np.ndarray) -> str:
        return ", ".join(map(self.class_name, np.flatnonzero(chosen).tolist())) or "none"

    def class_name(self, label: int) -> str:
        """The name of a class; its number where there is none."""
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label}"


def right_ones(predictions: Predictions, test: Scores | None = None) -> np.ndarray:
    """Which images are predicted right, bool (images,).

    Args:
        test: has the thresholds of classes where images may have several; None takes 0.5.
    """
    thresholds = test.thresholds if test else None
    return right(predictions.probabilities, predictions.labels, thresholds)


def reached(trial: TrialRecord) -> float:
    """What the search compared a usable trial by, see ``Search.measure``; -1 for others."""
    found = trial.best.objective if trial.best else None
    return -1.0 if found is None else found


def validation_accuracy(trial: TrialRecord) -> float:
    """The validation accuracy of a usable trial in its best epoch; -1 for others."""
    accuracy = trial.best.val_accuracy if trial.best else None
    return -1.0 if accuracy is None else accuracy


def load_card(run: Run) -> Card:
    """Read the run folder; files that are missing or damaged become None and a note.

    Raises:
        RunError: ``run.json`` is missing or damaged.
    """
    notes: list[str] = []
    stored = run.info
    info = without_paths_in(stored)
    names = _dict(stored.get("data")).get("class_names")
    data = Data.read({**_dict(info.get("data")), "class_names": names})
    test = _tried(notes, "test.json", lambda: run.read_json("test.json"), None)
    winner = _tried(notes, "winner.json", lambda: run.read_json("winner.json"), None)
    none: tuple[TrialRecord, ...] = ()
    no_thumbnails: dict[int, bytes] = {}
    trials = _tried(notes, "trials.jsonl", lambda: _trials(run, notes), none)
    predictions = _tried(
        notes, "predictions/test.npz", lambda: _sound(run.read_predictions("test")), None
    )
    thumbnails = _tried(notes, "thumbnails", lambda: _thumbnails(run, predictions), no_thumbnails)
    scores = _tried(notes, "test.json", lambda: Scores.read(test) if test else None, None)
    return Card(
        name=run.name,
        info=info,
        data=data,
        search=Search.read(_dict(info.get("search"))),
        trials=trials,
        winner=_tried(notes, "winner.json", lambda: Winner.read(winner) if winner else None, None),
        test=scores,
        predictions=predictions,
        ensemble=_tried(notes, "ensemble.json", lambda: _ensemble(run), None),
        label_errors=_tried(
            notes,
            "label_errors.json",
            lambda: (
                LabelErrors.read(suspected)
                if (suspected := run.read_json("label_errors.json"))
                else None
            ),
            None,
        ),
        finalists=_tried(notes, "predictions", lambda: _finalists(run), {}),
        thumbnails=thumbnails,
        groups=_tried(
            notes, "thumbnails", lambda: _groups(run, predictions, scores, thumbnails), {}
        ),
        notes=tuple(dict.fromkeys(notes)),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tried(notes: list[str], name: str, read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    # Files of other versions and half-written ones fail in ways that nobody can list.
    except Exception as error:
        notes.append(
            f"{name} could not be read: {without_paths(str(error)) or type(error).__name__}"
        )
        return otherwise


def _trials(run: Run, notes: list[str]) -> tuple[TrialRecord, ...]:
    """The records, one by one, so that one line of another version does not lose the rest."""
    from automl_img.files import read_json_lines

    records: dict[int, TrialRecord] = {}
    lost = 0
    for value in read_json_lines(run.path / "trials.jsonl"):
        try:
            value = {**without_paths_in(value), "epochs": known_epochs(value.get("epochs"))}
            record = TrialRecord.from_json(value)
        except (AttributeError, KeyError, TypeError, ValueError):
            lost += 1
            continue
        records[record.number] = record
    if lost:
        notes.append(f"{counted(lost, 'line')} of trials.jsonl could not be read")
    return tuple(records[number] for number in sorted(records))


def _sound(predictions: Predictions | None) -> Predictions | None:
    if predictions is None:
        return None
    images = len(predictions.labels)
    if (
        predictions.probabilities.ndim != 2
        or len(predictions.probabilities) != images
        or not images
    ):
        raise ValueError("labels and probabilities do not fit together")
    numbers = predictions.labels.dtype.kind in "iub"
    if not numbers or predictions.labels.shape[1:] not in ((), predictions.probabilities.shape[1:]):
        raise ValueError("labels and probabilities do not fit together")
    names = predictions.names if len(predictions.names) == images else ("",) * images
    return Predictions(predictions.labels, np.nan_to_num(predictions.probabilities), names)


def _ensemble(run: Run) -> Ensemble | None:
    value = run.read_json("ensemble.json")
    if value is None:
        return None
    return Ensemble.read(value, _sound(run.read_predictions("ensemble")))


def _finalists(run: Run) -> dict[int, Predictions]:
    found = {}
    for name in run.predictions_of_trials[:FINALISTS]:
        predictions = _sound(run.read_predictions(name))
        if predictions is not None:
            found[int(name.removeprefix("trial-"))] = predictions
    return found


def _thumbnails(run: Run, predictions: Predictions | None) -> dict[int, bytes]:
    if predictions is None:
        return {}
    paths = sorted((run.path / "thumbnails").glob("*.webp"))[:PICTURES]
    rows = {int(path.stem): path for path in paths if path.stem.isdigit()}
    return {row: path.read_bytes() for row, path in rows.items() if row < len(predictions.labels)}


def _groups(
    run: Run, predictions: Predictions | None, test: Scores | None, thumbnails: dict[int, bytes]
) -> dict[int, str]:
    """The groups that were written with the thumbnails; mistakes are recognised without them."""
    if predictions is None:
        return {}
    try:
        text = (run.path / "thumbnails" / "groups.json").read_text(encoding="utf-8")
        written = {int(row): str(group) for row, group in json.loads(text).items()}
    except (OSError, ValueError, AttributeError):
        written = {}
    right = right_ones(predictions, test)
    groups = {}
    for row in thumbnails:
        known = written.get(row) if written.get(row) in ("unsure", "random") else "random"
        groups[row] = str(known) if right[row] else "mistake"
    return groups
