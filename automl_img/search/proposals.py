"""What a search tries: probes of the pretrained backbones, the start set, then the sampler."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from automl_img.events import Listener, Notice
from automl_img.search.sampler import Sampler, Suggestion, own_seed
from automl_img.search.specs import PROBE_EPOCHS, Specs
from automl_img.search.spending import Part, Spending
from automl_img.search.stale import Staleness
from automl_img.search.start import FirstPoints
from automl_img.trials import Origin, Params, TrialRecord, TrialSpec, TrialState

# Of a budget, at the most, for probes.
FOR_PROBES = 0.2
# Where so many models break a limit before one keeps them, or in a row, hardly one will.
_MOST_INFEASIBLE = 100
# Where so many trials in a row fail for one reason, the next ones will.
_MOST_FAILURES = 5


class Proposals:
    """The search itself; see ``automl_img.search.stage.Stage``."""

    part: Part = "search"
    compared = True
    kept = True
    alone = False

    def __init__(
        self,
        sampler: Sampler,
        first: FirstPoints,
        kind: str,
        numbers: Iterator[int],
        specs: Specs,
        spending: Spending,
        listener: Listener,
        staleness: Staleness | None = None,
        unfinished: Iterable[Suggestion] = (),
    ) -> None:
        """
        Args:
            first: what is tried before the sampler is asked.
            kind: of the sampler: with "tpe" what it suggests follows from results, with "grid" it
                suggests nothing beyond the points to try first.
            numbers: those of new trials.
            staleness: says when nothing better is to be expected; None goes on to the end of the
                budget.
            unfinished: trials of an earlier session, to go on with before all else.
        """
        self._sampler = sampler
        self._unfinished = deque(unfinished)
        self._probes = deque(first.probes)
        # The score of one alone puts nothing into another order.
        self._scores_decide = len(self._probes) > 1
        self._most_probes = spending.trials_in(FOR_PROBES, PROBE_EPOCHS)
        self._asked_probes = 0
        # Of the budget, as the first probe was asked for: images were read before, Ray started.
        self._spent_before: float | None = None
        self._probing: set[int] = set()
        self._scores: dict[str, float] = {}
        self._first = first
        self._points: deque[tuple[Params, Origin]] | None = None
        self._kind = kind
        self._numbers = numbers
        self._specs = specs
        self._spending = spending
        self._listener = listener
        self._staleness = staleness
        self._spent = False
        # Why the trials that ended last have failed, and how many that were in a row.
        self._failure, self._failures = "", 0
        # How many that ended last were not trained.
        self._refused = 0
        self._told: set[str] = set()

    def restore(self, record: TrialRecord, spent: float) -> None:
        """Take in how a trial ended, in this session or in an earlier one.

        Args:
            spent: of the budget by then, in [0, 1].
        """
        self._probing.discard(record.number)
        if record.origin == "probe":
            backbone = str(record.params["backbone"])
            if record.best is not None:
                self._scores[backbone] = record.best.quality[0]
            left = deque(each for each in self._probes if each["backbone"] != backbone)
            # One of an earlier session: those of this one were counted as they were asked for.
            self._asked_probes += len(self._probes) - len(left)
            self._probes = left
        if self._staleness is not None:
            self._staleness.ended(record, spent)

    @property
    def order_is_free(self) -> bool:
        if self._probes:
            # Otherwise their time decides how many there will be.
            return self._most_probes is not None
        return not self._waits_for_scores and (bool(self._points) or self._kind != "tpe")

    @property
    def _waits_for_scores(self) -> bool:
        return self._scores_decide and bool(self._probing)

    @property
    def over(self) -> bool:
        if self.given_up or not self._spending.allows(self.part):
            return True
        return not self._unfinished and (self._spent or self._stale is not None)

    @property
    def _stale(self) -> str | None:
        """Why the search ends before its budget; a trial that still runs may change that."""
        return None if self._staleness is None else self._staleness.why(self._spending.spent)

    def ask(self) -> Suggestion | None:
        if self._unfinished:
            return self._again(self._unfinished.popleft())
        if self._probes and self._probes_cost_too_much():
            left = ", ".join(str(params["backbone"]) for params in self._probes)
            self._listener(Notice(f"no probe of {left}: probes may take a fifth of the budget"))
            self._probes.clear()
        if self._probes:
            self._asked_probes += 1
            number, params = next(self._numbers), self._probes.popleft()
            self._probing.add(number)
            return Suggestion(number, params, own_seed(self._sampler.seed, number), "probe")
        if self._waits_for_scores:
            return None
        return self._placed() or self._sampled()

    def _again(self, suggestion: Suggestion) -> Suggestion:
        """A trial of an earlier session goes on."""
        if suggestion.origin == "probe":
            self._asked_probes += 1
            self._probing.add(suggestion.number)
            backbone = suggestion.params["backbone"]
            self._probes = deque(each for each in self._probes if each["backbone"] != backbone)
        return suggestion

    def _probes_cost_too_much(self) -> bool:
        if self._spent_before is None:
            self._spent_before = self._spending.spent
        if self._most_probes is None:
            return self._spending.spent - self._spent_before > FOR_PROBES
        return self._asked_probes >= self._most_probes

    def spec(self, suggestion: Suggestion) -> TrialSpec:
        probe = suggestion.origin == "probe"
        deadline = self._spending.deadline(self.part, suggestion.params)
        spec_of = self._specs.probe if probe else self._specs.of
        return spec_of(suggestion, deadline)

    @property
    def given_up(self) -> bool:
        return self._failures >= _MOST_FAILURES or self._refused >= _MOST_INFEASIBLE

    def ended(self, record: TrialRecord) -> None:
        self.restore(record, self._spending.spent)
        self._count_failures(record)
        for sentence in [*self._sampler.dropped, *filter(None, [self._stale])]:
            if sentence not in self._told:
                self._told.add(sentence)
                self._listener(Notice(sentence))

    def _count_failures(self, record: TrialRecord) -> None:
        """Give up where too many trials in a row have failed for the same reason."""
        if self.given_up:
            return
        self._refused = self._refused + 1 if record.stop_reason == "infeasible" else 0
        failure = ""
        if record.state is TrialState.FAILED:
            # Of an exception its kind alone; the rest may name a batch or a file.
            failure = f"{record.stop_reason} {(record.error or '').partition(':')[0]}"
            failure = failure if record.stop_reason == "error" else record.stop_reason
        if record.state is TrialState.FAILED or record.best is not None:
            again = failure and failure == self._failure
            self._failure, self._failures = failure, self._failures + 1 if again else bool(failure)
        if self.given_up:
            self._unfinished.clear()
            how = f"the last {self._failures} trials failed for the same reason"
            if self._refused:
                how = f"the last {self._refused} models break a limit or do not fit"
            why = record.error or record.stop_reason
            self._listener(Notice(f"{how} ({why}); the search ends here"))

    def _placed(self) -> Suggestion | None:
        """The next point of the start set."""
        if self._points is None:
            self._points = deque(self._first.points(self._scores))
        while self._points:
            point, origin = self._points.popleft()
            suggestion = self._sampler.place(next(self._numbers), point, origin)
            if suggestion is not None:
                return suggestion
        return None

    def _sampled(self) -> Suggestion | None:
        """What the sampler suggests."""
        suggestion = None
        if self._kind != "grid":
            suggestion = self._sampler.ask(next(self._numbers))
        if suggestion is None:
            self._spent = True
            self._listener(Notice("every point of this space was tried; the search ends here"))
        return suggestion
