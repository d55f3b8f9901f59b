"""Findings about the search and the training: each says no more than the number shows."""

from __future__ import annotations

import math

from automl_img.report.blocks import CHECK, NOTE, Finding
from automl_img.report.card import Card, validation_accuracy
from automl_img.report.drawing import counted, percent, significant
from automl_img.report.finalists import finalists as compared
from automl_img.report.statistics import standard_error


def broken_off(card: Card) -> Finding | None:
    """A search that was cut short has a winner, but it is the best of fewer trials than asked."""
    status, budget = card.info.get("status"), card.search.budget
    if card.test is None or status not in ("interrupted", "failed"):
        return None
    done = f"{len(card.trials)} of {counted(budget, 'trial')}" if budget else "its trials"
    return Finding(NOTE, f"The run was {status} after {done}.", "search", "broken off")


def better_elsewhere(card: Card) -> Finding | None:
    """Another run that shares the study has a better trial than all of this one."""
    study = card.info.get("study")
    sentence = study.get("better") if isinstance(study, dict) else None
    return Finding(NOTE, str(sentence), "search", "better elsewhere") if sentence else None


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
    cut = best.stop_reason == "budget"
    if cut or best.best.epoch != best.epochs[-1].epoch or not falling:
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
    return Finding(level, text, "failures", "failed trials")


def cheaper_equal(card: Card) -> Finding | None:
    """A finalist that the images do not tell apart from the winner and that is clearly cheaper."""
    found = compared(card)
    if len(found) < 2 or not found[0].trial.parameters:
        return None
    own = found[0].trial.parameters
    cheaper = [
        i
        for i in found[1:]
        if i.ahead is not None
        and not i.separable
        and i.trial.parameters
        and i.trial.parameters < 0.7 * own
    ]
    if not cheaper:
        return None
    best = min(cheaper, key=lambda item: item.trial.parameters or 0)
    text = (
        f"Trial {best.trial.number} cannot be told apart from the winner and has "
        f"{best.trial.parameters:,} parameters instead of {own:,}."
    )
    return Finding(NOTE, text, "finalists", "cheaper equal")
