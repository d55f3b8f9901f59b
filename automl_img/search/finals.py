"""After the search: its finalists trained again from other seeds, and the winner on all images."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np

from automl_img.errors import SearchError
from automl_img.evaluation.intervals import variance_of_difference
from automl_img.events import Listener, Notice, Phase
from automl_img.search import final
from automl_img.search.choice import Choice, choose, rank
from automl_img.search.reserve import WORTH_A_PROCESS, gains_from_cores
from automl_img.search.sampler import Suggestion, own_seed
from automl_img.search.specs import Specs, predictions_of
from automl_img.search.spending import Part, Spending
from automl_img.training import checkpoint
from automl_img.trials import TrialRecord, TrialSpec, TrialState


class Repeats:
    """Trains the best few trials again from other seeds, as far as the budget goes; see
    ``automl_img.search.stage.Stage``."""

    part: Part = "finalists"
    compared = False
    kept = True
    alone = False
    given_up = False
    # Each is asked for when there is a worker for it: only then it is known whether it has time.
    order_is_free = False

    def __init__(
        self,
        records: Callable[[], list[TrialRecord]],
        numbers: Iterator[int],
        seed: int,
        specs: Specs,
        spending: Spending,
        listener: Listener,
        unfinished: Iterable[Suggestion] = (),
    ) -> None:
        """
        Args:
            records: gives the trials that have ended.
            unfinished: repeats of an earlier session, to go on with.
        """
        self._records = records
        self._unfinished = deque(unfinished)
        self._numbers = numbers
        self._seed = seed
        self._specs = specs
        self._spending = spending
        self._listener = listener
        self._left: list[TrialRecord] | None = None
        # Epochs that repeats will train which have not ended, by their numbers.
        self._promised: dict[int, int] = {}

    @property
    def over(self) -> bool:
        if self._unfinished and self._spending.allows(self.part):
            return False
        return not self._next()

    def ask(self) -> Suggestion | None:
        trial = self._next()
        if self._unfinished:
            return self._unfinished.popleft()
        if trial is None:
            return None
        assert self._left is not None
        self._left.pop(0)
        self._listener(Phase(f"training finalist {trial.number} again from another seed"))
        number = next(self._numbers)
        self._promised[number] = len(trial.epochs)
        seed = own_seed(self._seed, number)
        return Suggestion(number, trial.params, seed, "repeat", trial.number)

    def spec(self, suggestion: Suggestion) -> TrialSpec:
        deadline = self._spending.deadline(self.part, suggestion.params)
        return self._specs.of(suggestion, deadline)

    def ended(self, record: TrialRecord) -> None:
        self._promised.pop(record.number, None)

    def _next(self) -> TrialRecord | None:
        """The trial to repeat next; None where there is none or its time is over."""
        if self._left is None:
            self._left = self._planned()
        if not self._left:
            return None
        trial = self._left[0]
        seconds = sum(result.seconds for result in trial.epochs)
        epochs = len(trial.epochs) + sum(self._promised.values())
        return trial if self._spending.allows(self.part, seconds, epochs) else None

    def _planned(self) -> list[TrialRecord]:
        """The finalists in rounds, each round with another seed; one alone needs no comparison. One
        that was stopped on its way would be compared with longer trainings of itself. What was
        repeated in an earlier session is not again."""
        records = self._records()
        whole = [trial for trial in rank(records) if trial.state is TrialState.COMPLETE]
        again = Counter(trial.repeat_of for trial in whole if trial.origin == "repeat")
        again.update(suggestion.repeat_of for suggestion in self._unfinished)
        finalists = [trial for trial in whole if trial.origin not in ("probe", "repeat")]
        finalists = finalists[: self._spending.finalists]
        if len(finalists) < 2:
            return []
        rounds = self._spending.repeats // len(finalists)
        turns = [(turn, trial) for turn in range(rounds) for trial in finalists]
        return [trial for turn, trial in turns if again[trial.number] <= turn]


class Retraining:
    """Trains the winner on all but the test images, or where that fails the next best; see
    ``automl_img.search.stage.Stage``.

    Attributes:
        choice: made as the stage begins.
        done: the trial that was retrained, and how that went.
    """

    part: Part = "retraining"
    compared = False
    kept = False
    given_up = False
    order_is_free = False

    def __init__(
        self,
        records: Callable[[], list[TrialRecord]],
        labels: np.ndarray,
        specs: Specs,
        spending: Spending,
        listener: Listener,
        begins: Callable[[], None] = lambda: None,
        shared: bool = False,
    ) -> None:
        """
        Args:
            labels: of the validation images, see ``automl_img.labels``.
            begins: called as the stage begins.
            shared: whether trials so far had a part of the cores each, and training on all of them
                is faster.
        """
        self._records = records
        self._labels = labels
        self._specs = specs
        self._spending = spending
        self._listener = listener
        self._begins = begins
        self._shared = shared
        self._place = -1
        self._running = False
        self._failure: str | None = None
        self.choice: Choice | None = None
        self.done: tuple[TrialRecord, TrialRecord] | None = None

    @property
    def over(self) -> bool:
        if not self._usable:
            return True
        choice = self._chosen()
        return self.done is not None or self._place + 1 >= len(choice.trials)

    @property
    def alone(self) -> bool:
        """Another process pays where the training is longer than its start."""
        if not self._shared or not self._usable:
            return False
        winner = self._chosen().trials[0]
        if not gains_from_cores(str(winner.params.get("backbone"))):
            return False
        expected = sum(result.seconds for result in winner.epochs)
        deadline = self._spending.deadline(self.part)
        if winner.stop_reason == "budget" and deadline is not None:
            expected = deadline - time.time()
        return expected > WORTH_A_PROCESS

    @property
    def _usable(self) -> bool:
        return any(record.best is not None for record in self._records())

    def _chosen(self) -> Choice:
        if self.choice is None:
            self._begins()
            self.choice = choose(self._records(), len(self._labels), self._drawn, self._objective)
            self.done = final.retrained(self._specs.run, self.choice.trials)
        return self.choice

    @property
    def _objective(self) -> str:
        return self._specs.settings.objectives[0].name

    def _drawn(self, ones: Sequence[TrialRecord], others: Sequence[TrialRecord]) -> float | None:
        """See ``automl_img.search.choice``."""
        found = [[self._predicted(trial) for trial in side] for side in (ones, others)]
        known = [[each for each in side if each is not None] for side in found]
        if [len(side) for side in known] != [len(ones), len(others)]:
            return None
        return variance_of_difference(self._objective, self._labels, known[0], known[1])

    def _predicted(self, trial: TrialRecord) -> np.ndarray | None:
        run = self._specs.run
        found = checkpoint.validation_of(run.trial_folder(trial.number))
        if found is None and (kept := run.read_predictions(predictions_of(trial))) is not None:
            found = kept.probabilities
        return found

    def ask(self) -> Suggestion | None:
        self._chosen()
        if self._running or self.done is not None:
            return None
        self._running = True
        choice = self._chosen()
        self._place += 1
        trial = choice.trials[self._place]
        epochs = f"{trial.best.epoch if trial.best else 0} epochs"
        if trial.stop_reason == "budget":
            epochs = "for as long as there is time"
        self._listener(
            Phase(f"retraining trial {trial.number} on all but the test images, {epochs}")
        )
        return Suggestion(trial.number, trial.params, trial.seed, trial.origin)

    def spec(self, suggestion: Suggestion) -> TrialSpec:
        assert self.choice is not None
        winner = self.choice.trials[self._place]
        # Where no file can be written the worker says so, as of any trial.
        with suppress(OSError):
            final.prepare(self._specs.run, winner)
        return self._specs.retraining(winner, self._spending.deadline(self.part))

    def ended(self, record: TrialRecord) -> None:
        assert self.choice is not None
        self._running = False
        if record.state is TrialState.FAILED or not self._specs.retrained():
            self._failure = record.error or record.stop_reason
            self._listener(
                Notice(
                    f"trial {record.number} cannot be retrained ({self._failure}); the next one is"
                )
            )
        else:
            self.done = self.choice.trials[self._place], record
            failed = [trial.number for trial in self.choice.trials[: self._place]]
            final.keep_retrained(self._specs.run, *self.done, failed)

    def result(self) -> tuple[Choice, TrialRecord, TrialRecord]:
        """Who may win; the trial that was retrained, and how that went.

        Raises:
            SearchError: no trial was usable, or none could be retrained.
        """
        tried = rank(self._records())
        if self.done is None or self.choice is None:
            raise SearchError(
                f"none of {len(tried)} trials could be retrained; the last: {self._failure}"
            )
        return self.choice, *self.done
