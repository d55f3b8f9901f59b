"""What failed in a search, why, and which change of the space avoids it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from automl_img.report.card import Card
from automl_img.report.drawing import significant
from automl_img.report.facts import Dimension
from automl_img.trials import TrialRecord, TrialState

# Of the trials that went well, at the most so many may lie where the failed ones do; and there must
# be some, or it says nothing.
_MOST_BEYOND = 0.25
_LEAST_OTHERS = 3
# Fewer failures lie together in some range by chance.
_TELLING = 3
# What most often decides, for where several hyperparameters tell them apart as well.
_LIKELY = {
    "diverged": ("optimizer.learning_rate",),
    "out of memory": ("batch_size", "backbone"),
    "infeasible": ("batch_size", "backbone"),
}
_OTHERWISE = {
    "diverged": "a lower optimizer.learning_rate avoids most of it",
    "out of memory": "a smaller batch_size, a smaller network or fewer --workers avoid it",
    "hang": "errors.log has what they were at; --trial-timeout decides how long is too long",
    "worker died": "with AUTOML_IMG_DEBUG=1 Ray shows what libraries say as it dies",
    "error": "errors.log in the run folder has the traces",
    "infeasible": "a smaller batch_size or model, or other limits avoid it",
}


@dataclass(frozen=True)
class Failure:
    """The trials that failed for one reason.

    Attributes:
        reason: as in ``TrialRecord.stop_reason``; "infeasible" trials never trained.
        trials: in order of their numbers, at least one.
        seconds: that they took together.
        first: what the first one said.
        advice: which change avoids it.
    """

    reason: str
    trials: tuple[TrialRecord, ...]
    seconds: float
    first: str
    advice: str


def ledger(card: Card) -> tuple[Failure, ...]:
    """The failures of a run by reason, the most frequent first."""
    by_reason: dict[str, list[TrialRecord]] = {}
    for trial in card.trials:
        if trial.state is TrialState.FAILED or trial.stop_reason == "infeasible":
            by_reason.setdefault(trial.stop_reason, []).append(trial)
    found = [_failure(reason, trials, card) for reason, trials in by_reason.items()]
    return tuple(sorted(found, key=lambda each: (-len(each.trials), each.trials[0].number)))


def _failure(reason: str, trials: Sequence[TrialRecord], card: Card) -> Failure:
    likely = _LIKELY.get(reason, ())
    # One that failed after an epoch has a result too.
    well = [trial for trial in card.usable if trial.state is not TrialState.FAILED]
    marks = list(_marks(trials, well, card.search.dimensions))
    if len(trials) < _TELLING:
        marks = [each for each in marks if each.name in likely]
    mark = min(marks, key=lambda each: (each.name not in likely, each.share), default=None)
    lines = (trials[0].error or reason).strip().splitlines() or [reason]
    otherwise = _OTHERWISE.get(reason, _OTHERWISE["error"])
    return Failure(
        reason,
        tuple(trials),
        sum(trial.ended - trial.started for trial in trials),
        lines[0][:300],
        otherwise if mark is None else mark.sentence(len(trials)),
    )


@dataclass(frozen=True)
class _Mark:
    """A hyperparameter that tells failed trials from the others.

    Attributes:
        where: what the failed ones had, as "of 0.05 or more".
        change: the option of the command line that leaves it out.
        beyond, others: how many trials went well there, and in all.
    """

    name: str
    where: str
    change: str
    beyond: int
    others: int

    @property
    def share(self) -> float:
        return self.beyond / self.others

    def sentence(self, failed: int) -> str:
        who = "it" if failed == 1 else f"all {failed}"
        also = f"{self.beyond} of" if self.beyond else "none of"
        return (
            f"{who} had {self.name} {self.where}, as {also} the {self.others} others had: "
            f"--search {self.name}={self.change} leaves that out"
        )


def _marks(
    failed: Sequence[TrialRecord], others: Sequence[TrialRecord], dimensions: Sequence[Dimension]
) -> Iterator[_Mark]:
    for dimension in dimensions:
        name = dimension.name
        theirs = [trial.params[name] for trial in failed if name in trial.params]
        good = [trial.params[name] for trial in others if name in trial.params]
        if len(theirs) < len(failed) or len(good) < _LEAST_OTHERS:
            continue
        found = [_by_option(dimension, theirs, good)]
        if not dimension.options:
            found = [_by_bound(dimension, theirs, good, above) for above in (True, False)]
        yield from (mark for mark in found if mark and mark.share <= _MOST_BEYOND)


def _by_option(
    dimension: Dimension, theirs: Sequence[object], good: Sequence[object]
) -> _Mark | None:
    left = [option for option in dimension.options if option not in theirs]
    if not left:
        return None
    tried = [option for option in dimension.options if option in theirs]
    beyond = sum(value in theirs for value in good)
    where = f"= {' or '.join(map(significant, tried))}"
    return _Mark(dimension.name, where, ",".join(map(str, left)), beyond, len(good))


def _by_bound(
    dimension: Dimension, theirs: Sequence[object], good: Sequence[object], above: bool
) -> _Mark | None:
    """The failed ones lie at one end of a range; ``above``: at its upper end."""
    if not dimension.numeric:
        return None
    failed, well = [_number(value) for value in theirs], [_number(value) for value in good]
    edge = min(failed) if above else max(failed)
    inside = [value for value in well if (value < edge if above else value > edge)]
    if not inside:
        return None
    nearest = max(inside) if above else min(inside)
    bound, low, high = map(significant, (nearest, dimension.low, dimension.high))
    # Rounded, it may be beyond the edge.
    if float(bound) >= edge if above else float(bound) <= edge:
        bound = f"{nearest:.12g}"
    if bound == (low if above else high):
        return None
    change = f"{low}..{bound}" if above else f"{bound}..{high}"
    change += ":log" if dimension.log else ""
    where = f"of {significant(edge)} or {'more' if above else 'less'}"
    return _Mark(dimension.name, where, change, len(well) - len(inside), len(well))


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
