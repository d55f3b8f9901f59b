"""Which trials fit into the memory that a worker has, learnt from those that ran.

What a network takes is told from its size (``automl_img.training.costs.estimate``), and from its
layers (``automl_img.training.footprint``) once it was built; what its process really held corrects
that, for each backbone; and a trial that ran out of memory corrects it at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from automl_img.training.costs import Footprint, too_large
from automl_img.trials import Params, TrialRecord

# Of an estimate, as long as nothing was measured of a backbone: what is refused then does not fit.
# Of every family a process grew by 0.94 of the estimate at the least (``footprints.py``).
_UNMEASURED = 0.75
# Estimates below say nothing of a factor: other things that a process holds are as large.
_TELLING_BYTES = 200_000_000
_MOST_FACTOR = 1.5
# Where what a process holds anyway would leave nothing.
_LEAST_PART = 0.25


class MemoryBounds:
    """The memory of a worker, and what trials need of it."""

    def __init__(
        self,
        share: int,
        held: int,
        graph_of: Callable[[Params], str],
        estimate: Callable[[Params], Footprint],
        images: int,
    ) -> None:
        """
        Args:
            share: bytes of memory for a trial that has one share of its machine: the worker's, or
                of its GPU; 0 where unknown.
            held: what a process holds of it before it trains.
            graph_of: the signature of the graph that a trial needs.
            estimate: what a network takes that nobody has built yet.
            images: for training; no batch has more.
        """
        self._share, self._held = share, held
        self._graph_of = graph_of
        self._estimate = estimate
        self._images = images
        self._known: dict[str, Footprint] = {}
        # What was really held, as a part of what was estimated, by backbone.
        self._measured: dict[str, float] = {}
        # Estimates of trials that ran out of memory in this session, and the largest of one that
        # did not, by backbone; as parts of the room that each had.
        self._failed: dict[str, list[float]] = {}
        self._trained: dict[str, float] = {}

    def allowance(self, params: Params, shares: int = 1) -> int:
        """The most bytes that may be estimated for a trial that has ``shares`` of its machine; 0
        for no bound."""
        backbone, room = str(params["backbone"]), self._room(shares)
        most = int(room / self._measured.get(backbone, _UNMEASURED))
        trained = self._trained.get(backbone, 0.0)
        failed = sorted(each for each in self._failed.get(backbone, ()) if each > trained)
        if failed:
            # No larger one than the first that failed; as large a one may have had bad luck, once.
            sizes = [round(each * room) for each in failed]
            most = min(most, sizes[0], *(size - 1 for size in sizes[1:2]))
        return max(most, round(trained * room))

    def refusal(self, params: Params, most_shares: int = 1) -> str | None:
        """Why a trial is not worth starting, in a sentence; None where it fits.

        Args:
            most_shares: that it may have.
        """
        if not self._share:
            return None
        needs, allowance = self._needs(params), self.allowance(params, most_shares)
        return too_large(needs, allowance) if needs > allowance else None

    def shares(self, params: Params, most: int) -> int:
        """How many shares of its machine a trial needs: ``most`` where those are too few, too."""
        if not self._share:
            return 1
        counts, needs = range(1, most), self._needs(params)
        return next((each for each in counts if needs <= self.allowance(params, each)), most)

    def _room(self, shares: int) -> int:
        """Bytes for training; a process holds the same before it trains, whatever its share is."""
        whole = shares * self._share
        return max(whole - self._held, int(_LEAST_PART * whole))

    def _needs(self, params: Params) -> int:
        return self._footprint(params).of(self._batch(params))

    def estimated(self, params: Params) -> dict[str, float]:
        """See ``automl_img.trials.TrialRecord.memory``."""
        return dataclasses.asdict(self._footprint(params))

    def _batch(self, params: Params) -> int:
        return min(int(params["batch_size"]), self._images)

    def _footprint(self, params: Params) -> Footprint:
        return self._known.get(self._graph_of(params)) or self._estimate(params)

    def restore(self, record: TrialRecord) -> None:
        """Learn from a trial of this session or an earlier one, which may have had less room."""
        facts, params = record.memory, record.params
        if not facts:
            return
        known = Footprint(int(facts["fixed_bytes"]), int(facts["image_bytes"]))
        self._known[self._graph_of(params)] = known
        backbone, estimated = str(params["backbone"]), known.of(self._batch(params))
        if estimated > _TELLING_BYTES:
            # A process that trained another trial before has some of the memory already, so the
            # largest counts; what libraries take once makes it too large.
            factor = min(_MOST_FACTOR, facts.get("grown_bytes", 0.0) / estimated)
            self._measured[backbone] = max(factor, self._measured.get(backbone, _UNMEASURED))

    def ended(self, record: TrialRecord, shares: int = 1) -> None:
        """Learn from a trial of this session, which had ``shares`` of its machine."""
        self.restore(record)
        facts, params = record.memory, record.params
        if not facts or not self._share:
            return
        backbone = str(params["backbone"])
        estimated = self._needs(params) / self._room(shares)
        if record.stop_reason == "out of memory":
            self._failed.setdefault(backbone, []).append(estimated)
        elif record.epochs:
            self._trained[backbone] = max(estimated, self._trained.get(backbone, 0.0))
