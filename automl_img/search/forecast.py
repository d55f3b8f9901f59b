"""What a search will take: simulated many times with the real rungs, on what its trials cost.

What trials will score is not known, so scores are drawn at random and a trial keeps its own at all
rungs: that is how asynchronous successive halving spends epochs on trials of which none is known to
be better. A sampler that learns sends more of them up the ladder.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from automl_img.budget import Budget
from automl_img.search.costs import PhaseCost
from automl_img.search.rungs import Rungs, ladder_of, warmup_of
from automl_img.trials import Params

# Of a trial, beside its epochs, and of an epoch, beside its steps: Ray Tune, the study, files.
TRIAL_SECONDS = 0.15
EPOCH_SECONDS = 0.02
# Compiled models that a worker keeps; see ``automl_img.training.graphs``.
_GRAPHS = 8


@dataclass(frozen=True)
class Candidate:
    """A configuration and what its phases take."""

    params: Params
    phases: tuple[PhaseCost, ...]

    @property
    def ladder(self) -> str:
        return ladder_of(self.params)

    def full_seconds(self) -> float:
        """Training it to its end, where nothing of it is kept yet."""
        seconds = self.graph_seconds + self.again_seconds()
        for phase in self.phases:
            views = min(phase.work.views, phase.work.epochs)
            seconds += phase.forward_graph + views * phase.view + phase.view_of_validation
        return seconds

    def again_seconds(self) -> float:
        """Training it to its end, where its graphs and features are kept."""
        epochs = sum(each.start + each.work.epochs * _epoch_seconds(each) for each in self.phases)
        return TRIAL_SECONDS + epochs

    @property
    def graph_seconds(self) -> float:
        """Building and tracing its graphs."""
        return sum(phase.graph for phase in self.phases)

    def retraining_seconds(self, more: float) -> float:
        """Training it again without validation, on ``more`` times as many images, in a process that
        holds no graph of it; the features of the training images are there."""
        seconds = 0.0
        for phase in self.phases:
            views = min(phase.work.views, phase.work.epochs)
            seconds += phase.start + phase.graph + phase.forward_graph
            seconds += views * phase.view_of_validation + phase.work.epochs * more * phase.train
        return seconds


@dataclass(frozen=True)
class Course:
    """One simulated search.

    Attributes:
        seconds: from the first trial to the end of the last.
        trials, epochs: run.
        graphs: traced in all workers.
        graph_seconds: that this took, all workers together.
        feature_bytes: written to the disk.
        winner: the candidate that came first.
    """

    seconds: float
    trials: int
    epochs: int
    graphs: int
    graph_seconds: float
    feature_bytes: int
    winner: Candidate


@dataclass
class _Worker:
    graphs: OrderedDict[str, None] = field(default_factory=OrderedDict)
    traced: int = 0

    def needs(self, graph: str) -> bool:
        """Whether the graph has to be traced; it is held from then on."""
        new = graph not in self.graphs
        self.graphs[graph] = None
        self.graphs.move_to_end(graph)
        if len(self.graphs) > _GRAPHS:
            self.graphs.popitem(last=False)
        self.traced += new
        return new


@dataclass
class _Trial:
    number: int
    score: float
    candidate: Candidate
    worker: _Worker
    epoch: int = 0
    forward: set[str] = field(default_factory=set)


def simulate(
    start: Sequence[Candidate],
    others: Sequence[Candidate],
    budget: Budget,
    rungs: Callable[[], Rungs],
    max_epochs: int,
    workers: int,
    seed: int,
) -> Course:
    """One search that tries ``start``, then ``others`` in an order of their own, again and again.

    Args:
        start, others: at least one together.
        budget: of the search alone; seconds are counted from the first trial, and running trials
            end with the rung that they are on the way to.
        rungs: makes new ones.
        workers: trials at a time.

    Raises:
        ValueError: there is no candidate.
    """
    if not start and not others:
        raise ValueError("a search needs something to try")
    return _Search(start, others, budget, rungs(), max_epochs, workers, seed).run()


class _Search:
    def __init__(
        self,
        start: Sequence[Candidate],
        others: Sequence[Candidate],
        budget: Budget,
        rungs: Rungs,
        max_epochs: int,
        workers: int,
        seed: int,
    ) -> None:
        self._rng = np.random.default_rng(np.random.SeedSequence([seed]))
        self._coming = self._in_order(start, others)
        self._budget, self._rungs, self._max_epochs = budget, rungs, max_epochs
        self._workers = [_Worker() for _ in range(workers)]
        # (backbone, cut, rows and view) of what is on the disk by now.
        self._features: dict[tuple[str, str, int], int] = {}
        self._trials = self._epochs = 0
        self._graph_seconds = 0.0

    def run(self) -> Course:
        now, best = 0.0, (-1, -1.0)
        winner: Candidate | None = None
        events = [(0.0, place, None) for place in range(len(self._workers))]
        queue: list[tuple[float, int, _Trial | None]] = list(events)
        heapq.heapify(queue)
        while queue:
            now, place, trial = heapq.heappop(queue)
            if trial is not None:
                # The longest trained wins: it was compared with others most often.
                if (trial.epoch, trial.score) > best:
                    best, winner = (trial.epoch, trial.score), trial.candidate
                trial = trial if self._goes_on(trial) else None
            if trial is None and self._may_start(now):
                trial = self._next(self._workers[place])
            if trial is not None:
                heapq.heappush(queue, (now + self._leg(trial), place, trial))
        assert winner is not None
        return Course(
            seconds=now,
            trials=self._trials,
            epochs=self._epochs,
            graphs=sum(worker.traced for worker in self._workers),
            graph_seconds=self._graph_seconds,
            feature_bytes=sum(self._features.values()),
            winner=winner,
        )

    def _in_order(
        self, start: Sequence[Candidate], others: Sequence[Candidate]
    ) -> Iterator[Candidate]:
        yield from start
        pool = list(others or start)
        while True:
            for place in self._rng.permutation(len(pool)).tolist():
                yield pool[place]

    def _may_start(self, now: float) -> bool:
        spent = {"trials": self._trials, "epochs": self._epochs, "seconds": now}
        return spent[self._budget.unit] < self._budget.amount

    def _next(self, worker: _Worker) -> _Trial:
        trial = _Trial(self._trials, float(self._rng.random()), next(self._coming), worker)
        self._trials += 1
        return trial

    def _goes_on(self, trial: _Trial) -> bool:
        candidate = trial.candidate
        return trial.epoch < self._max_epochs and self._rungs.goes_on(
            trial.number, trial.epoch, trial.score, candidate.ladder, warmup_of(candidate.params)
        )

    def _leg(self, trial: _Trial) -> float:
        """Seconds until the next rung or the end."""
        seconds = TRIAL_SECONDS if trial.epoch == 0 else 0.0
        ends = [rung for rung in self._rungs.epochs if rung > trial.epoch]
        last = min([*ends, self._max_epochs])
        first = 0
        for phase in trial.candidate.phases:
            for epoch in range(max(first, trial.epoch), min(first + phase.work.epochs, last)):
                if epoch == first:
                    seconds += phase.start
                    traced = phase.graph if trial.worker.needs(phase.work.graph) else 0.0
                    self._graph_seconds += traced
                    seconds += traced
                seconds += self._kept(trial, phase, epoch - first) + _epoch_seconds(phase)
            first += phase.work.epochs
        self._epochs += last - trial.epoch
        trial.epoch = last
        return seconds

    def _kept(self, trial: _Trial, phase: PhaseCost, epoch: int) -> float:
        """Seconds for features that nobody has computed before."""
        work = phase.work
        if not work.kept:
            return 0.0
        seconds = 0.0
        images = phase.view / max(phase.view + phase.view_of_validation, 1e-12)
        size = work.feature_bytes / max(work.views * images + (1 - images), 1e-12)
        wanted = [("train", epoch % work.views, phase.view, size * images)]
        if epoch == 0:
            wanted.append(("validation", 0, phase.view_of_validation, size * (1 - images)))
        for part, view, taken, bytes_of_it in wanted:
            key = work.features, part, view
            if key not in self._features:
                self._features[key] = round(bytes_of_it)
                seconds += taken
                if work.features not in trial.forward:
                    trial.forward.add(work.features)
                    seconds += phase.forward_graph
        return seconds


def _epoch_seconds(phase: PhaseCost) -> float:
    return phase.epoch + EPOCH_SECONDS
