"""Who wins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from automl_img.errors import SearchError
from automl_img.metrics import NAMES
from automl_img.search.rungs import REDUCTION_FACTOR, ladder_of, warmup_of
from automl_img.trials import TrialRecord, TrialState, reached

# Of the normal distribution, for a difference at the level 0.05.
_Z = 1.96
_MUCH_CHEAPER = 0.9
# What a trial reached before says nothing yet.
_FEWEST_EPOCHS = 3
# The variance of the difference of the mean scores of two groups of trials that comes from the
# images, see ``automl_img.evaluation.intervals``; None where their predictions were not kept.
Drawn = Callable[[Sequence[TrialRecord], Sequence[TrialRecord]], float | None]


def rank(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Trials that were validated, the best by the objective first; among equals the lower loss,
    then the smaller model, then the earlier trial. Stopped and interrupted trials count as others
    do; those that failed on the way come last, since they would fail again.

    Raises:
        SearchError: there is none.
    """
    usable = [record for record in records if record.best is not None]
    if not records:
        raise SearchError("the search was stopped before a trial ended; there is nothing to keep")
    infeasible = [record for record in records if record.stop_reason == "infeasible"]
    if not usable and infeasible and infeasible[-1].memory is not None:
        raise SearchError(
            f"none of {len(infeasible)} configurations fits into memory: of the last one "
            f"{infeasible[-1].error}"
        )
    if not usable and infeasible:
        raise SearchError(
            f"the model must keep the limits, but none of {len(infeasible)} configurations does: "
            f"of the last one {infeasible[-1].error}; raise the limit or search smaller networks"
        )
    if not usable:
        errors = [record.error for record in records if record.error]
        why = f"; the first failed with: {errors[0]}" if errors else ""
        raise SearchError(f"none of {len(records)} trials finished an epoch{why}")
    return sorted(usable, key=_place)


@dataclass(frozen=True)
class Choice:
    """The winner and why.

    Attributes:
        trials: those that may win, the winner first.
        reason: a sentence.
        scores: on the validation images, from each seed, by number of the trial.
    """

    trials: tuple[TrialRecord, ...]
    reason: str
    scores: dict[int, tuple[float, ...]]


def choose(
    records: Sequence[TrialRecord],
    images: int,
    drawn: Drawn = lambda ones, others: None,
    objective: str = "val_accuracy",
) -> Choice:
    """The winner by the mean over the seeds; where two cannot be told apart, the cheaper one.

    Two are told apart if the difference of their means is more than 1.96 standard errors, which
    sum the variance between seeds and that of the images drawn anew. The latter is paired, as all
    predict the same images; where the predictions are not known, it is not, and so rather too
    large. A training that did not come to its end is no seed. Where no finalist was
    trained again, the single results decide.

    Args:
        images: validation images.
        drawn: the variance that comes from the images.
        objective: that the trials were compared by.

    Raises:
        SearchError: no trial is usable.
    """
    ranked = rank([record for record in records if record.origin != "repeat"])
    runs: dict[int, list[TrialRecord]] = {}
    for record in records:
        if record.best is not None and record.state is TrialState.COMPLETE:
            root = record.number if record.repeat_of is None else record.repeat_of
            runs.setdefault(root, []).append(record)
    repeated = [record for record in ranked if len(runs.get(record.number, ())) > 1]
    scores = {record.number: _scores(runs[record.number]) for record in repeated}
    what = f"validation {NAMES[objective]}"
    whole = [record for record in ranked if record.number in runs and record.origin != "probe"]
    # Where the time did not last for repeats of the best, those of others say nothing of it.
    if len(repeated) < 2 or whole[0] not in repeated:
        return _cut_but_ahead(ranked) or Choice(tuple(ranked), f"it has the best {what}", scores)
    means = {number: float(np.mean(values)) for number, values in scores.items()}
    best, second, *others = sorted(repeated, key=lambda record: -means[record.number])
    error = _standard_error(runs[best.number], runs[second.number], images, drawn)
    ahead = means[best.number] - means[second.number]
    seeds = len(scores[best.number])
    reason = f"it has the best mean {what} of {seeds} seeds"
    if ahead <= _Z * error and _cheaper(second, best):
        reason = (
            f"it cannot be told apart from trial {best.number} ({ahead:.3f} behind in the mean of "
            f"{seeds} seeds, less than {_Z * error:.3f}) and is cheaper"
        )
        best, second = second, best
    rest = [record for record in ranked if record not in (best, second, *others)]
    return Choice((best, second, *others, *rest), reason, scores)


def _cut_but_ahead(ranked: Sequence[TrialRecord]) -> Choice | None:
    """The trial that the end of the budget cut short, where it was ahead of the best one after as
    many epochs; None where there is none.

    So trials are compared at the rungs too: with their own kind, and beyond their warm-up. What was
    cut goes on to the end of its schedule, see ``Specs.retraining``.
    """
    best = ranked[0]
    ahead = []
    for record in ranked[1:]:
        cut = record.stop_reason == "budget" and record.origin != "probe"
        alike = ladder_of(record.params) == ladder_of(best.params)
        warm = len(record.epochs) > max(warmup_of(record.params), warmup_of(best.params))
        if cut and alike and warm and has_begun(len(record.epochs), len(best.epochs)):
            lead = reached(record.epochs) - reached(best.epochs, len(record.epochs))
            ahead.append((lead, -record.number, record))
    if not ahead or max(ahead)[0] <= 0:
        return None
    _, _, first = max(ahead)
    epochs = len(first.epochs)
    reason = (
        f"the end of the budget cut it off after {epochs} epochs, ahead of trial {best.number} "
        f"after as many ({reached(first.epochs):.3f} to {reached(best.epochs, epochs):.3f})"
    )
    return Choice((first, *(record for record in ranked if record is not first)), reason, {})


def has_begun(epochs: int, of_the_best: int) -> bool:
    """Whether a trial that was cut short has trained long enough to be compared: for a third of the
    epochs of the best one, where the first rungs are."""
    return epochs >= _FEWEST_EPOCHS and epochs >= of_the_best / REDUCTION_FACTOR


def _standard_error(
    one: Sequence[TrialRecord], other: Sequence[TrialRecord], images: int, drawn: Drawn
) -> float:
    """Of the difference of two means, each over the seeds of one trial."""
    between = [float(np.var(_scores(runs), ddof=1)) / len(runs) for runs in (one, other)]
    of_images = drawn(one, other) if images > 1 else None
    if of_images is None:
        means = [float(np.mean(_scores(runs))) for runs in (one, other)]
        of_images = sum(mean * (1 - mean) for mean in means) / max(images, 1)
    return math.sqrt(sum(between) + of_images)


def _scores(runs: Sequence[TrialRecord]) -> tuple[float, ...]:
    return tuple(reached(run.epochs) for run in runs)


def _cheaper(one: TrialRecord, other: TrialRecord) -> bool:
    """Whether ``one`` needs clearly less time for an image, or as much and clearly fewer
    parameters."""
    if one.ms_per_image and other.ms_per_image:
        if one.ms_per_image < _MUCH_CHEAPER * other.ms_per_image:
            return True
        if other.ms_per_image < _MUCH_CHEAPER * one.ms_per_image:
            return False
    most = _MUCH_CHEAPER * (other.parameters or 0)
    return bool(one.parameters and one.parameters < most)


def _place(record: TrialRecord) -> tuple[float, ...]:
    """For sorting, the best first."""
    score, loss = record.best.quality if record.best else (0.0, 0.0)
    failed = record.state is TrialState.FAILED
    return failed, -score, -loss, float(record.parameters or 0), float(record.number)
