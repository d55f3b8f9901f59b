"""The one sentence: how good, with what, at what cost. Used by the page and the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from automl_img.metrics import NAMES
from automl_img.report.card import Card, reached, validation_accuracy
from automl_img.report.drawing import counted, duration, percent, significant
from automl_img.report.statistics import wilson
from automl_img.runs import TESTED
from automl_img.trials import Params, TrialState

_TEST_SCORES = {NAMES[name]: key for name, key in TESTED.items() if name != "val_accuracy"}
# Said first, in this order, where the winner has them; the rest is in the table of trials.
_KEY_PARAMS = ("optimizer.learning_rate", "learning_rate", "optimizer.name", "batch_size")


@dataclass(frozen=True)
class Verdict:
    """How good the winner is.

    Attributes:
        kind: "test"; "validation" (optimistic, there was no test); "none" (no usable trial).
        accuracy: in [0, 1]; None for "none".
        low, high: its 95 % Wilson interval; None where the number of images is not known.
        images: how many it was measured on.
        winner: family and key hyperparameters, as a phrase; empty for "none".
        effort: what the search took, as a sentence.
        caution: why to trust it less than it looks; empty for a test.
        aim: what the search aimed at, where that is not the accuracy, and its value on the test
            images, as a phrase; else empty.
        several: whether images may have several classes: then the accuracy is the share of which
            all are said right, and comes second.
        order: the mean average precision then, on test images; else None.
        coarse: what it reached at the level of coarser classes, as a phrase; empty where there is
            none.
        epochs_run, epochs_full: epochs trained, and epochs had no rung stopped a trial.
    """

    kind: str
    accuracy: float | None
    low: float | None
    high: float | None
    images: int | None
    winner: str
    effort: str
    caution: str
    epochs_run: int
    epochs_full: int | None
    aim: str = ""
    several: bool = False
    order: float | None = None
    coarse: str = ""

    @property
    def line(self) -> str:
        """One line of plain ASCII for a terminal."""
        if self.accuracy is None:
            return "No trial reached a validation accuracy"
        known = []
        if self.low is not None and self.high is not None:
            known.append(f"95 % interval {self.low:.3f}-{self.high:.3f}")
        if self.images:
            known.append(counted(self.images, "image"))
        about = f" ({', '.join(known)})" if known else ""
        if self.several:
            first = f"{self.aim}, accuracy" if self.aim else "accuracy"
            text = f"{first} for all classes of an image {self.accuracy:.3f}{about}"
            return f"{self.kind.capitalize()} {text}"
        text = f"{self.kind.capitalize()} accuracy {self.accuracy:.3f}{about}"
        return ", ".join(filter(None, (text, self.aim, self.coarse)))


def verdict(card: Card) -> Verdict:
    """The verdict on a run, from its facts alone."""
    run, full = epochs_spent(card)
    winner = _winner_phrase(card)
    effort = _effort(card, run, full)
    if card.test is not None:
        low, high = card.test.interval
        accuracy, images = card.test.accuracy, card.test.images
        aim = _aim(card.search.measure.removeprefix("validation "), card.test.values)
        several = card.test.thresholds is not None
        order = card.test.number("mean_average_precision") if several else None
        return Verdict(
            *("test", accuracy, low, high, images, winner, effort, "", run, full),
            aim=aim,
            several=several,
            order=order,
            coarse=_coarse(card.test.values.get("coarse")),
        )
    best = card.best_trial
    if best is None:
        caution = _why_nothing(card)
        return Verdict("none", None, None, None, None, "", effort, caution, run, full)
    accuracy = validation_accuracy(best)
    count = card.data.splits.get("validation")
    bounds = wilson(accuracy * count, count) if count else None
    least, most = bounds or (None, None)
    caution = (
        "There is no test result. This is the accuracy on the validation images that chose the "
        f"best of {counted(len(card.usable), 'trial')}, so it is optimistic."
    )
    several, reached_there = card.data.multi_label, reached(best)
    measure = card.search.measure.removeprefix("validation ")
    aim = f"{measure} {reached_there:.3f}" if reached_there != accuracy else ""
    return Verdict(
        *("validation", accuracy, least, most, count, winner, effort, caution, run, full),
        aim=aim,
        several=several,
    )


def epochs_spent(card: Card) -> tuple[int, int | None]:
    """Epochs trained by the trials that did not fail, and what they would have been had no rung
    stopped one; None where that is not known."""
    counted_trials = [trial for trial in card.trials if trial.state is not TrialState.FAILED]
    run = sum(len(trial.epochs) for trial in counted_trials)
    most = card.search.max_epochs
    if not most or not run:
        return run, None
    return run, run + sum(most - len(each.epochs) for each in card.stopped)


def family(params: Params) -> str:
    """The family of a model, "cnn"; "model" where it is not told."""
    return str(params.get("backbone") or params.get("backbone.name") or "model")


def _aim(measure: str, scores: dict[str, Any]) -> str:
    value = scores.get(_TEST_SCORES.get(measure, ""))
    if value is None:
        return ""
    return f"log loss {value:.3f}" if measure == NAMES["val_loss"] else f"{measure} {value:.3f}"


def _coarse(scores: Any) -> str:
    """See ``Verdict``; nothing is said of one coarser class alone, which is always right."""
    classes = scores.get("classes") or () if isinstance(scores, dict) else ()
    if len(classes) < 2 or not isinstance(scores.get("accuracy"), float):
        return ""
    return f"accuracy {scores['accuracy']:.3f} for the {len(classes)} coarser classes"


def _winner_phrase(card: Card) -> str:
    trial = card.best_trial
    params = card.winner.params if card.winner else trial.params if trial else {}
    if not params and trial is None:
        return ""
    searched = [dimension.name for dimension in card.search.dimensions]
    wanted = [name for name in _KEY_PARAMS if name in params]
    wanted += [name for name in searched if name in params and name not in (*wanted, "backbone")]
    said = [_said(name, params[name]) for name in wanted]
    parameters = card.winner.parameters if card.winner else trial.parameters if trial else None
    size = [counted(parameters, "parameter")] if parameters else []
    return ", ".join([family(params), *size, *said[:4]])


def _said(name: str, value: Any) -> str:
    *group, last = name.split(".")
    # "optimizer.name" is adam: the value says it all.
    noun = "" if last == "name" and group else f"{last.replace('_', ' ')} "
    return f"{noun}{significant(value)}"


def _effort(card: Card, run: int, full: int | None) -> str:
    if not card.trials:
        return "No trial has ended yet."
    text = f"{counted(len(card.trials), 'trial')} and {counted(run, 'epoch')} of training"
    if full and full > run:
        saved = 1 - run / full
        text += f"; without stopping weak trials it would have been {full:,} "
        text += f"({percent(saved)} saved)"
    seconds = (card.info.get("seconds") or {}).get("search")
    return text + (f". The search took {duration(seconds)}." if seconds else ".")


def _why_nothing(card: Card) -> str:
    if card.failed:
        first = (card.failed[0].error or card.failed[0].stop_reason).splitlines() or [""]
        return f"{counted(len(card.failed), 'trial')} failed. The first one: {first[0][:300]}"
    return "No trial finished an epoch."
