"""Which of the waiting trials a worker starts that has become free.

A worker keeps the compiled graphs of its latest trials. Where the order of trials carries no
information, it is given one whose graph it holds. What a worker holds is told from what it was
given, never measured: so the same trials that end in the same order are always placed alike, and
with one worker a search repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from automl_img.search.resources import OF_GPU

if TYPE_CHECKING:
    from automl_img.search.resources import Resources
    from automl_img.search.sampler import Suggestion

# How many trials wait at the most, of those whose order carries no information.
MOST_WAITING = 8
# How often later trials may be preferred to one.
_MOST_PASSES = 8
# Graphs that a worker is taken to hold, as many as it does where memory allows. Where it has let
# go of one, a trial costs what it costs anyway.
_HELD = 8


@dataclass(eq=False)
class _Worker:
    """A process that runs one trial after the other.

    Attributes:
        graphs: signatures of the graphs that it is taken to hold, the latest first.
        shares: of the machine that its trials have; one with others has another process.
        gpu_bytes: the most GPU memory that one of its trials took. TensorFlow gives none of it
            back, so it counts between trials too.
        expected: GPU memory that its running trial is expected to take.
    """

    graphs: list[str] = field(default_factory=list)
    shares: int = 1
    gpu_bytes: int = 0
    expected: int = 0

    @property
    def takes(self) -> int:
        return max(self.gpu_bytes, self.expected)


@dataclass(eq=False)
class _Waiting:
    """A trial that waits; ``passed`` counts the later ones that were preferred to it."""

    suggestion: Suggestion
    graph: str
    passed: int = 0


class Placement:
    """The waiting trials and the workers."""

    def __init__(self, gpus: int = 0, gpu_bytes: int = 0) -> None:
        """
        Args:
            gpus: GPUs that trials share; one trial on each always may run.
            gpu_bytes: memory of all of them together; 0 sets no bound.
        """
        self._gpus = gpus
        self._gpu_bytes = gpu_bytes
        self._waiting: list[_Waiting] = []
        self._running: dict[str, tuple[_Worker, str]] = {}
        self._free: list[_Worker] = []
        self._peaks: dict[str, int] = {}
        # Of trials with one share.
        self._ordinary = 0

    @classmethod
    def on(cls, resources: Resources) -> Placement:
        """For a machine; only trials that share a GPU need a bound on its memory."""
        shared = 0 < resources.gpus_per_trial < 1
        return cls(resources.gpus, resources.gpu_bytes if shared else 0)

    @property
    def waiting(self) -> list[Suggestion]:
        """What has not started, in order."""
        return [waiting.suggestion for waiting in self._waiting]

    def wait(self, suggestion: Suggestion, graph: str) -> None:
        """Let a trial wait behind the others.

        Args:
            graph: the signature of the graph that it needs.
        """
        self._waiting.append(_Waiting(suggestion, graph))

    def start(self, trial_id: str) -> Suggestion | None:
        """The trial for the worker that has been free for longest, or for a new one.

        First come those whose graph it holds, then those whose graph nobody holds, since a graph
        that another worker holds is better left to that one; among equals the order decides.
        Nobody is passed over more than a few times.

        Returns:
            None where nothing waits, or where GPU memory is short for everything that waits.
        """
        worker = self._free[0] if self._free else _Worker()
        for place in self._preferred(worker):
            if self._fits(worker, self._waiting[place].graph):
                return self._start(trial_id, worker, place)
        return None

    def sized(self, trial_id: str, shares: int) -> None:
        """Take in how many shares of the machine a trial has that starts. Where its worker had
        others it is in a new process, and processes that are free and have others end."""
        worker, graph = self._running[trial_id]
        if worker.shares != shares:
            new = _Worker([graph], shares, expected=worker.expected)
            self._running[trial_id] = new, graph
        self._free = [each for each in self._free if each.shares == shares]

    def measured(self, trial_id: str, gpu_peak: int) -> None:
        """Take in the most GPU memory, in bytes, that a running trial has held so far."""
        worker, graph = self._running[trial_id]
        worker.gpu_bytes = max(worker.gpu_bytes, gpu_peak)
        self._peaks[graph] = max(self._peaks.get(graph, 0), gpu_peak)
        if worker.shares == 1:
            self._ordinary = max(self._ordinary, gpu_peak)

    def replaced(self, trial_id: str) -> None:
        """A new process goes on with a running trial: it has taken no GPU memory yet.

        The graphs that its worker is taken to hold stay, so that a search repeats even where
        memory, which is measured, had a process replaced.
        """
        self._running[trial_id][0].gpu_bytes = 0

    def end(self, trial_id: str) -> None:
        """Free the worker of a trial that is over."""
        worker, _ = self._running.pop(trial_id)
        worker.expected = 0
        self._free.append(worker)

    def withdraw(self, suggestion: Suggestion) -> None:
        """Give up one that waits."""
        self._waiting = [each for each in self._waiting if each.suggestion is not suggestion]

    def clear(self) -> list[Suggestion]:
        """Give up what waits, and return it."""
        given_up = self.waiting
        self._waiting.clear()
        return given_up

    def _preferred(self, worker: _Worker) -> list[int]:
        """Places in the queue, the one to start first."""
        if self._waiting and self._waiting[0].passed >= _MOST_PASSES:
            return [0]
        others = [other for other, _ in self._running.values()] + self._free
        held = {graph for other in others if other is not worker for graph in other.graphs}

        def rank(place: int) -> tuple[bool, bool, int]:
            graph = self._waiting[place].graph
            return graph not in worker.graphs, graph in held, place

        return sorted(range(len(self._waiting)), key=rank)

    def _fits(self, worker: _Worker, graph: str) -> bool:
        """Whether the GPUs have the memory that a trial takes beyond what its worker has taken."""
        if not self._gpu_bytes or len(self._running) < self._gpus:
            return True
        more = self._expected(graph) - worker.gpu_bytes
        others = [other for other, _ in self._running.values()] + self._free
        taken = sum(other.takes for other in others)
        return more <= 0 or taken + more <= OF_GPU * self._gpu_bytes

    def _expected(self, graph: str) -> int:
        """GPU memory of a trial: the most seen with its graph, else the most with one share."""
        return self._peaks.get(graph, self._ordinary)

    def _start(self, trial_id: str, worker: _Worker, place: int) -> Suggestion:
        chosen = self._waiting.pop(place)
        for earlier in self._waiting[:place]:
            earlier.passed += 1
        if self._free:
            self._free.remove(worker)
        others = [graph for graph in worker.graphs if graph != chosen.graph]
        worker.graphs = [chosen.graph, *others][:_HELD]
        worker.expected = self._expected(chosen.graph) if self._gpu_bytes else 0
        self._running[trial_id] = worker, chosen.graph
        return chosen.suggestion
