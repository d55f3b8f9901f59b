"""One session of a run, from its first trial to its report, as one straight line."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.data.prepare import Prepared
from automl_img.events import Listener, Phase, SearchStarted
from automl_img.runs import Run
from automl_img.search.ahead import LoadAhead
from automl_img.search.earlier import Earlier, begin_session, end_session
from automl_img.search.finals import Repeats, Retraining
from automl_img.search.grid import LARGEST_GRID, grid
from automl_img.search.history import facts_of, warm_points
from automl_img.search.inputs import write_inputs
from automl_img.search.interrupts import Interrupt, catching_interrupts
from automl_img.search.memory import MemoryBounds
from automl_img.search.placement import Placement
from automl_img.search.proposals import Proposals
from automl_img.search.reserve import reserve_of
from automl_img.search.resources import Resources, machine_of
from automl_img.search.retention import Retention
from automl_img.search.rungs import Rungs
from automl_img.search.sharing import open_shared, tell_of_others
from automl_img.search.specs import Specs
from automl_img.search.spending import Spending
from automl_img.search.stale import Staleness
from automl_img.search.start import FirstPoints, GridPoints, KeptPoints, StartPoints
from automl_img.settings import SearchSettings
from automl_img.space.dimensions import SearchSpace

if TYPE_CHECKING:
    from automl_img.search.conductor import Conductor
    from automl_img.search.sampler import Sampler, Suggestion
    from automl_img.search.storage import Studies


class Session:
    """What its steps share."""

    def __init__(
        self,
        settings: SearchSettings,
        space: SearchSpace,
        resources: Resources,
        prepared: Prepared,
        weights: dict[tuple[str, str], str],
        listener: Listener,
        began: float,
        run: Run,
        earlier: Earlier,
    ) -> None:
        """
        Args:
            began: when the session was asked for, by ``time.monotonic``.
            run: that this process alone holds.
            earlier: where the run stands.
        """
        self.began = began
        self.settings = settings
        self.space = space
        self.resources = resources
        self.prepared = prepared
        self.listener = listener
        self.run = run
        self.earlier = earlier
        self._before = earlier.seconds
        self.proposals: Proposals | None = None
        self.seconds: dict[str, float] = dict(run.info["seconds"])
        self.specs = Specs(settings, prepared, self.run, weights, resources)
        self.rungs = Rungs(settings.max_epochs, objectives=settings.objectives)
        self.spending = Spending(
            settings.allowed, reserve_of(settings, prepared, resources, space), self._elapsed
        )

    def run_to_the_end(self) -> Run:
        """Search, retrain, test, export, report; each step keeps what it did."""
        self._begin()
        try:
            with catching_interrupts(self.listener) as interrupt:
                self._finish(self._search(interrupt))
        except KeyboardInterrupt:
            self._close("interrupted")
            raise
        except BaseException:
            # What was reached is worth a report too; another failure must not hide this one.
            with suppress(Exception):
                self._close("failed")
                self._report()
            raise
        self._close("interrupted" if interrupt.requested else "finished")
        self._report()
        return self.run

    def _begin(self) -> None:
        """Note in the run that a session begins, and what its budget is by now; what it is to go on
        with is there by then."""
        if not self.earlier.sessions:
            write_inputs(self.run, self.space, self.prepared)
            self.specs.write_rows()
        info, settings = self.run.info, self.settings
        allowed = {"budget": settings.allowed.trials, "allowed": str(settings.allowed)}
        begin_session(
            self.run,
            self.earlier,
            time.time() - (time.monotonic() - self.began),
            settings={**info["settings"], "budget": settings.budget},
            search={**info["search"], **allowed},
            machines=[*info.get("machines", ()), machine_of(self.resources)],
        )

    def _search(self, interrupt: Interrupt) -> Retraining:
        """Run the trials, train the finalists again, and retrain the winner."""
        # Importing Ray is part of the wait.
        self.listener(Phase("starting Ray and TensorFlow, about 15 s"))
        from automl_img.search.connection import ray_for
        from automl_img.search.engine import run_trials

        earlier, settings, resources, run = self.earlier, self.settings, self.resources, self.run

        def hurried() -> bool:
            return interrupt.requested or self.spending.used_up("retraining")

        ahead = LoadAhead()
        retraining = Retraining(
            self.run.trials,
            self.prepared.index.labels[self.prepared.split.validation],
            self.specs,
            self.spending,
            self.listener,
            ahead.begin,
            resources.shares > 1,
        )
        with self._timed("search"), closing(self._sampler()) as sampler:
            conductor = self._conductor(sampler, retraining, interrupt)
            self.listener(
                SearchStarted(
                    settings.allowed,
                    settings.max_epochs,
                    resources.workers,
                    earlier.records,
                    earlier.seconds,
                )
            )
            # Of a run that was killed at its end, nothing may be left to train.
            if not conductor.over:
                with ray_for(resources, run, self.specs.read) as shipping:
                    try:
                        run_trials(conductor, run, resources, self.listener, shipping, hurried)
                    finally:
                        ahead.end()
            if settings.storage is not None:
                tell_of_others(self.run, sampler, self.listener)
        if retraining.done is not None:
            _, done = retraining.done
            self.seconds["retrain"] = round(done.ended - done.started, 2)
        return retraining

    def _sampler(self) -> Sampler:
        """The sampler, which knows what earlier sessions have left."""
        from automl_img.search.sampler import Sampler

        settings, run = self.settings, self.run
        studies: Studies | Path = run.study
        if settings.storage is not None:
            studies = open_shared(run, settings, self.space, self.prepared, self.listener)
        sampler = Sampler(
            studies,
            self.space,
            settings.sampler,
            settings.seed,
            settings.objectives,
            settings.limits,
            lambda trial: self.rungs.take_in(trial.key, trial.params, trial.values),
        )
        going_on = {each.suggestion.number for each in self.earlier.unfinished}
        sampler.restore(self.run.trials(), going_on)
        return sampler

    def _conductor(
        self, sampler: Sampler, retraining: Retraining, interrupt: Interrupt
    ) -> Conductor:
        """Who conducts the trials, the repeats of finalists and the retraining."""
        from automl_img.search.conductor import Conductor

        run, spending = self.run, self.spending
        going_on = [each.suggestion for each in self.earlier.unfinished]
        numbers = itertools.count(max(sampler.next_number, self.earlier.next_number))
        proposals = self._proposals(
            sampler, numbers, [each for each in going_on if each.repeat_of is None]
        )
        memory = MemoryBounds(
            self.resources.trial_bytes,
            self.resources.held_bytes,
            self.specs.graph,
            self.specs.footprint,
            len(self.prepared.split.train),
        )
        self._restore(proposals, memory)
        repeats = Repeats(
            run.trials,
            numbers,
            self.settings.seed,
            self.specs,
            spending,
            self.listener,
            [each for each in going_on if each.repeat_of is not None],
        )
        return Conductor(
            run,
            (proposals, repeats, retraining),
            sampler,
            self.rungs,
            spending,
            Placement.on(self.resources),
            memory,
            Retention(run, self.settings.disk_bytes, {each.number for each in going_on}),
            self.specs.graph,
            self.listener,
            lambda: interrupt.requested,
        )

    def _restore(self, proposals: Proposals, memory: MemoryBounds) -> None:
        """Take in what earlier sessions have left, in the order in which it came."""
        earlier, spending = self.earlier, self.spending
        for record in sorted(earlier.records, key=lambda record: record.ended):
            spent = spending.restore(record, earlier.seconds_until(record.ended))
            proposals.restore(record, spent)
            memory.restore(record)
        going_on = [each.record for each in earlier.unfinished]
        for record in going_on:
            for _ in record.epochs:
                spending.trained()
        spending.reserve.restore([*earlier.records, *going_on])
        self.rungs.rebuild([*earlier.records, *going_on])

    def _proposals(
        self, sampler: Sampler, numbers: Iterator[int], going_on: list[Suggestion]
    ) -> Proposals:
        """What the search tries."""
        settings, space = self.settings, self.space
        if settings.sampler == "grid":
            most = settings.allowed.trials or LARGEST_GRID
            first: FirstPoints = GridPoints(grid(space, most, settings.seed))
        else:
            facts = facts_of(self.run.info["data"])
            goes_on = bool(self.earlier.sessions)
            warm = warm_points(settings, self.run, space, goes_on, self.listener)
            first = KeptPoints(StartPoints(space, facts, warm), self.run)
        if first.probes:
            self.specs.write_probe_rows()
        self.proposals = Proposals(
            sampler,
            first,
            settings.sampler,
            numbers,
            self.specs,
            self.spending,
            self.listener,
            Staleness(self.rungs.epochs) if settings.stop_when_stale else None,
            going_on,
        )
        return self.proposals

    def _elapsed(self) -> float:
        """Seconds since the search was asked for, those between two sessions aside."""
        return self._before + time.monotonic() - self.began

    def _finish(self, retraining: Retraining) -> None:
        """The retrained winner: tested once, then exported."""
        self.listener(Phase("loading TensorFlow, to test the winner"))
        from automl_img.search.finalists import finish

        finish(self.specs, retraining, self.spending, self.listener, self._timed)

    def _report(self) -> None:
        from automl_img.report.render import write_report

        self.listener(Phase("writing the report"))
        write_report(self.run)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            took = self.seconds.get(phase, 0.0) + time.perf_counter() - started
            self.seconds[phase] = round(took, 2)

    def _close(self, status: str) -> None:
        given_up = self.proposals is not None and self.proposals.given_up
        end_session(self.run, status, seconds=self.seconds, given_up=given_up)
