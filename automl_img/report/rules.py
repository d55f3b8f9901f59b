"""The rules behind the findings: each says no more than the number shows, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

from automl_img.report.blocks import Finding
from automl_img.report.card import Card, validation_accuracy
from automl_img.report.drawing import counted, percent, significant
from automl_img.report.finalists import finalists as compared
from automl_img.report.statistics import standard_error, wilson

CHECK, NOTE, GOOD = "check", "note", "good"
FEW_IMAGES = 20
IMBALANCE = 3
_UNFINISHED = ("running", "interrupted", "failed")


def findings(card: Card) -> list[Finding]:
    """What the rules found, worst first."""
    found = [finding for rule in RULES for finding in [rule(card)] if finding is not None]
    rank = {CHECK: 0, NOTE: 1, GOOD: 2}
    return sorted(found, key=lambda finding: rank[finding.level])


def no_test(card: Card) -> Finding | None:
    if card.test is not None:
        return None
    status = card.info.get("status")
    why = f"The run is {status}: there" if status in _UNFINISHED else "There"
    text = f"{why} is no result on test images, and nothing here says how good the model is."
    return Finding(CHECK, text, "verdict", "no test")


def baseline(card: Card) -> Finding | None:
    """Within 2 standard errors of always saying the most frequent class, nothing was learnt."""
    value = card.test.number("baseline") if card.test else None
    if card.test is None or value is None:
        return None
    gap = card.test.accuracy - value
    error = standard_error(card.test.accuracy, card.test.images)
    if gap <= 2 * error:
        text = (
            "The model has learnt nothing measurable: always saying the most frequent class "
            f"gives {value:.3f}."
        )
        return Finding(CHECK, text, "scores", "baseline")
    text = (
        f"The model beats always saying the most frequent class ({value:.3f}) by far more "
        "than chance."
    )
    return Finding(GOOD, text, "scores", "baseline")


def small_test(card: Card) -> Finding | None:
    if card.test is None:
        return None
    low, high = card.test.interval
    half = (high - low) / 2
    if half < 0.02:
        return None
    level = CHECK if half >= 0.05 else NOTE
    images = counted(card.test.images, "test image")
    text = f"The accuracy is known to about ±{half:.3f} only: there are {images}."
    return Finding(level, text, "scores", "small test set")


def optimism(card: Card) -> Finding | None:
    """Validation against test, in standard errors of the difference."""
    best, count = card.best_trial, card.data.splits.get("validation")
    if card.test is None or best is None or not count:
        return None
    validation = validation_accuracy(best)
    gap = validation - card.test.accuracy
    error = math.hypot(
        standard_error(validation, count), standard_error(card.test.accuracy, card.test.images)
    )
    if gap <= 2 * error:
        return None
    trials = counted(len(card.usable), "trial")
    text = (
        f"Test accuracy is {gap:.3f} below validation accuracy ({validation:.3f}), "
        f"{gap / error:.1f} standard errors; part of it is choosing the best of {trials}."
    )
    return Finding(NOTE, text, "scores", "validation against test")


def overfitting(card: Card) -> Finding | None:
    """A gap in accuracy beyond 2 standard errors, and a validation loss 5 % above its minimum."""
    best, count = card.best_trial, card.data.splits.get("validation")
    if best is None or best.best is None or len(best.epochs) < 2 or not count:
        return None
    validation = validation_accuracy(best)
    gap = best.best.accuracy - validation
    losses = [epoch.val_loss for epoch in best.epochs if epoch.val_loss is not None]
    rising = bool(losses) and min(losses) > 0 and losses[-1] > 1.05 * min(losses)
    images = card.data.splits.get("train") or count
    error = math.hypot(
        standard_error(validation, count), standard_error(min(1.0, best.best.accuracy), images)
    )
    if math.isfinite(gap) and gap > 2 * error:
        how = "The winner overfits" if rising else "The winner overfits slightly"
        text = f"{how}: its training accuracy is {gap:.3f} above its validation accuracy."
        if rising:
            text += (
                f" Validation loss ended {percent(losses[-1] / min(losses) - 1)} above its minimum."
            )
        return Finding(CHECK if rising else NOTE, text, "training", "overfitting")
    return None


def stopped_too_early(card: Card) -> Finding | None:
    """The best epoch is the last one, and validation loss still fell in the last tenth."""
    best = card.best_trial
    if best is None or best.best is None or len(best.epochs) < 2:
        return None
    losses = [epoch.val_loss for epoch in best.epochs if epoch.val_loss is not None]
    tail = max(2, math.ceil(len(losses) / 10) + 1)
    falling = len(losses) >= tail and losses[-1] < losses[-tail]
    if best.best.epoch != best.epochs[-1].epoch or not falling:
        return None
    text = (
        f"The winner was still improving in its last epoch ({best.best.epoch}): "
        "try a higher --max-epochs."
    )
    return Finding(NOTE, text, "training", "stopped too early")


def range_edges(card: Card) -> Finding | None:
    """The best value in the outer 5 % of its range, on the scale that was searched."""
    best = card.best_trial
    if best is None or len(card.usable) < 5:
        return None
    edges = []
    for dimension in card.search.dimensions:
        if not dimension.numeric or (dimension.high or 0) <= (dimension.low or 0):
            continue
        value = best.params.get(dimension.name)
        place = dimension.position(value)
        few = dimension.kind == "int" and (dimension.high or 0) - (dimension.low or 0) < 4
        if place is None or few or 0.05 < place < 0.95:
            continue
        end = "lower" if place <= 0.05 else "upper"
        edges.append(f"{dimension.name} = {significant(value)} ({end} end)")
    if not edges:
        return None
    text = (
        f"The best value lies at the edge of its range: {', '.join(edges)}. A wider range "
        "may hold a better one."
    )
    return Finding(NOTE, text, "hyperparameters", "edge of range")


def still_improving(card: Card) -> Finding | None:
    """The best trial among the last fifth."""
    best = card.best_trial
    numbers = [trial.number for trial in card.usable]
    if best is None or len(numbers) < 10 or best.number not in numbers:
        return None
    place = numbers.index(best.number) + 1
    if place <= 0.8 * len(numbers):
        return None
    text = (
        f"The best trial came late, as number {place} of {len(numbers)}: a larger --budget "
        "may find a better one."
    )
    return Finding(NOTE, text, "search", "still improving")


def failed_trials(card: Card) -> Finding | None:
    if not card.failed:
        return None
    first = card.failed[0]
    line = ((first.error or first.stop_reason).strip().splitlines() or [""])[0][:200]
    level = CHECK if len(card.failed) * 4 >= len(card.trials) else NOTE
    text = (
        f"{len(card.failed)} of {counted(len(card.trials), 'trial')} failed. The first one: {line}"
    )
    return Finding(level, text, "trials", "failed trials")


def imbalance(card: Card) -> Finding | None:
    counts = [n for n in card.data.class_counts.get("train", ()) if n > 0]
    if len(counts) < 2 or max(counts) <= IMBALANCE * min(counts):
        return None
    ratio = max(counts) / min(counts)
    text = (
        f"The largest class has {ratio:.1f} times the training images of the smallest: look "
        "at balanced accuracy."
    )
    return Finding(NOTE, text, "data", "imbalance")


def few_in_a_class(card: Card) -> Finding | None:
    rows = card.test.values.get("per_class") if card.test else None
    few = sorted((row["support"], row["name"]) for row in rows or () if row["support"] < FEW_IMAGES)
    if not few:
        return None
    count = len(few)
    verb = "has" if count == 1 else "have"
    text = (
        f"{counted(count, 'class', 'classes')} {verb} fewer than {FEW_IMAGES} test images "
        f"(fewest: “{few[0][1]}”, {few[0][0]}): scores of a single class are rough."
    )
    return Finding(NOTE, text, "classes", "few test images in a class")


def weak_class(card: Card) -> Finding | None:
    """A class whose recall lies below the accuracy, even as the worst of so many classes."""
    rows = card.test.values.get("per_class") if card.test else None
    present = [row for row in rows or () if row["support"]]
    if card.test is None or not present:
        return None
    high = {
        row["name"]: wilson(row["recall"] * row["support"], row["support"], len(present))[1]
        for row in present
    }
    low = [row for row in present if high[row["name"]] < card.test.accuracy]
    if not low:
        return None
    worst = min(low, key=lambda row: (row["recall"], row["name"]))
    more = f" and {counted(len(low) - 1, 'other class', 'other classes')}" if len(low) > 1 else ""
    text = (
        f"“{worst['name']}”{more} is recognised less often than the rest, by more than chance "
        f"among {len(present)} classes explains: recall {worst['recall']:.3f}, accuracy over all "
        f"{card.test.accuracy:.3f}."
    )
    return Finding(CHECK, text, "classes", "weak class")


def calibration(card: Card) -> Finding | None:
    found = card.test.values.get("calibration") if card.test else None
    if not found or found.get("ece") is None:
        return None
    if found["ece"] <= found["ece_null_high"]:
        text = (
            f"No sign that the probabilities are off: calibration error {found['ece']:.3f}, "
            f"chance alone gives up to {found['ece_null_high']:.3f}."
        )
        return Finding(GOOD, text, "confidence", "calibration")
    text = (
        f"The probabilities are off by {found['ece']:.3f} on average, more than chance "
        f"({found['ece_null_high']:.3f}): do not read them as chances of being right."
    )
    return Finding(NOTE, text, "confidence", "calibration")


def cheaper_equal(card: Card) -> Finding | None:
    """A finalist that the images do not tell apart from the winner and that is clearly cheaper."""
    found = compared(card)
    if len(found) < 2 or not found[0].trial.parameters:
        return None
    own = found[0].trial.parameters
    cheaper = [
        i
        for i in found[1:]
        if not i.separable and i.trial.parameters and i.trial.parameters < 0.7 * own
    ]
    if not cheaper:
        return None
    best = min(cheaper, key=lambda item: item.trial.parameters or 0)
    text = (
        f"Trial {best.trial.number} cannot be told apart from the winner and has "
        f"{best.trial.parameters:,} parameters instead of {own:,}."
    )
    return Finding(NOTE, text, "finalists", "cheaper equal")


Rule = Callable[[Card], Finding | None]
RULES: tuple[Rule, ...] = (
    no_test,
    baseline,
    weak_class,
    overfitting,
    failed_trials,
    small_test,
    optimism,
    stopped_too_early,
    range_edges,
    still_improving,
    imbalance,
    few_in_a_class,
    calibration,
    cheaper_equal,
)
