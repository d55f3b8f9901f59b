"""A whole search as one straight line, from data to tested winner."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.data.prepare import Prepared, prepare
from automl_img.events import Listener, Notice, Phase, SearchStarted, ignore
from automl_img.files import write_text
from automl_img.models.hyperparameters import declared
from automl_img.models.weights import weights_of_space
from automl_img.runs import Run, check_free, create_run
from automl_img.search.finals import Repeats, Retraining
from automl_img.search.grid import LARGEST_GRID, grid
from automl_img.search.hardware import Resources, share
from automl_img.search.history import best_of_runs, facts_of, resolve
from automl_img.search.inputs import run_info, write_left_out, write_split
from automl_img.search.interrupts import Interrupt, catching_interrupts
from automl_img.search.placement import Placement
from automl_img.search.proposals import Proposals
from automl_img.search.reserve import Reserve, gains_from_cores
from automl_img.search.rungs import Rungs
from automl_img.search.specs import Specs
from automl_img.search.spending import Spending
from automl_img.search.stale import Staleness
from automl_img.search.start import FirstPoints, GridPoints, StartPoints
from automl_img.settings import SearchSettings, check
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import (
    build_space,
    find_preset,
    read_preset,
    space_yaml,
)
from automl_img.trials import Params

if TYPE_CHECKING:
    from automl_img.search.sampler import Sampler

# Of the driver, before it imports Keras: the backend of its workers, and a share of the GPU alone.
_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
# Points of earlier runs; the sampler should have its turn too.
_MOST_WARM = 10
# Up to this side in pixels networks from scratch are the usual choice.
_SMALL_IMAGES = 64


def search(
    data: str | Path | None = None,
    *,
    listener: Listener = ignore,
    **settings: Any,
) -> Run:
    """Search for the best classifier of ``data``, retrain it, test it once, export it, report it.

    Args:
        data: a folder, table, archive or built-in name; None takes the default of the settings.
        listener: hears the events of ``automl_img.events`` as the search goes.
        settings: see ``automl_img.settings.SearchSettings``.

    Returns:
        The run: ``run.read_json("test.json")`` has the scores, ``run.report`` and ``run.model`` are
        the files.

    Raises:
        SettingsError: what was asked for cannot be done.
        DataError: the images cannot be used.
        WeightsError: pretrained weights cannot be had.
        RunError: the run's name is taken.
        SearchError: no trial was usable.
        ExportError: the export does not predict as the trained model does; the rest is kept.
        KeyboardInterrupt: stopped at once; finished trials are in the run folder.
    """
    began = time.monotonic()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    asked = check(settings if data is None else {**settings, "data": str(data)})
    space = build_space(
        asked.space, read_preset(find_preset(asked.space)), declared(), asked.search, asked.fix
    )
    if asked.name is not None:
        check_free(Path(asked.out), asked.name)
    resolve(asked.warm_start, Path(asked.out))
    resources = share(asked.workers, asked.gpus_per_trial)
    weights = weights_of_space(space, asked.weights_dir)
    prepared = prepare(asked, listener)
    if asked.space == "cnn" and prepared.image_size > _SMALL_IMAGES:
        listener(Notice("--space pretrained usually beats the space cnn on photos of this size"))
    return _Study(asked, space, resources, prepared, weights, listener, began).run_to_the_end()


class _Study:
    """What the steps of one search share."""

    def __init__(
        self,
        settings: SearchSettings,
        space: SearchSpace,
        resources: Resources,
        prepared: Prepared,
        weights: dict[tuple[str, str], str],
        listener: Listener,
        began: float,
    ) -> None:
        """
        Args:
            began: when the search was asked for, by ``time.monotonic``.
        """
        self.began = began
        self.settings = settings
        self.space = space
        self.resources = resources
        self.prepared = prepared
        self.listener = listener
        self.seconds: dict[str, float] = {}
        started = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
        name = settings.name or f"{prepared.name}-{stamp}"
        self.run = create_run(
            Path(settings.out),
            name,
            run_info(settings, space, resources, prepared, name, started),
        )
        self.specs = Specs(settings, prepared, self.run, weights, resources)
        self.rungs = Rungs(settings.max_epochs, objectives=settings.objectives)
        self.spending = Spending(settings.allowed, self._reserve(), self._elapsed)

    def run_to_the_end(self) -> Run:
        """Search, retrain, test, export, report; each step keeps what it did."""
        try:
            self._write_inputs()
            with catching_interrupts(self.listener) as interrupt:
                self._finish(self._search(interrupt))
        except KeyboardInterrupt:
            self._close("interrupted")
            raise
        except BaseException:
            self._close("failed")
            # What was reached is worth a report too; its own failure must not hide this one.
            with suppress(Exception):
                self._report()
            raise
        self._close("interrupted" if interrupt.requested else "finished")
        self._report()
        return self.run

    def _write_inputs(self) -> None:
        """What the search starts from: the space, the split, what was left out."""
        prepared, path = self.prepared, self.run.path
        write_text(path / "space.yaml", space_yaml(self.space))
        write_split(path / "split.csv", prepared)
        write_left_out(self.run, prepared.left_out)
        self.specs.write_rows()

    def _search(self, interrupt: Interrupt) -> Retraining:
        """Run the trials, train the finalists again, and retrain the winner."""
        # Importing Ray is part of the wait.
        self.listener(Phase("starting Ray and TensorFlow, about 15 s"))
        from automl_img.search.conductor import Conductor
        from automl_img.search.engine import local_ray, run_trials
        from automl_img.search.sampler import Sampler

        settings, resources = self.settings, self.resources
        with self._timed("search"):
            sampler = Sampler(
                self.run.study,
                self.space,
                settings.sampler,
                settings.seed,
                settings.objectives,
                settings.limits,
            )
            numbers = itertools.count(sampler.next_number)
            spending = self.spending
            proposals = self._proposals(sampler, numbers)
            validation = self.prepared.index.labels[self.prepared.split.validation]
            common = self.run.trials, numbers, settings.seed, self.specs, spending, self.listener
            retraining = Retraining(
                self.run.trials,
                validation,
                self.specs,
                spending,
                self.listener,
                _load_ahead,
                resources.shares > 1,
            )
            self.listener(SearchStarted(settings.allowed, settings.max_epochs, resources.workers))
            conductor = Conductor(
                self.run,
                (proposals, Repeats(*common), retraining),
                sampler,
                self.rungs,
                spending,
                _placement(resources),
                self.specs.graph,
                self.listener,
                lambda: interrupt.requested,
            )
            with closing(sampler), local_ray(resources):
                run_trials(conductor, self.run, resources, self.listener)
        if retraining.done is not None:
            _, again = retraining.done
            self.seconds["retrain"] = round(again.ended - again.started, 2)
        return retraining

    def _proposals(self, sampler: Sampler, numbers: Iterator[int]) -> Proposals:
        """What the search tries."""
        settings, space = self.settings, self.space
        if settings.sampler == "grid":
            most = settings.allowed.trials or LARGEST_GRID
            first: FirstPoints = GridPoints(grid(space, most, settings.seed))
        else:
            warm = self._warm_points()
            first = StartPoints(space, facts_of(self.run.info["data"]), warm)
        if first.probes:
            self.specs.write_probe_rows()
        return Proposals(
            sampler,
            first,
            settings.sampler,
            numbers,
            self.specs,
            self.spending,
            self.listener,
            Staleness(self.rungs.epochs) if settings.stop_when_stale else None,
        )

    def _warm_points(self) -> list[Params]:
        """The best points of earlier runs, where some were named."""
        settings = self.settings
        runs = resolve(settings.warm_start, Path(settings.out))
        others = [run for run in runs if run.path != self.run.path]
        data = self.run.info["data"]
        return best_of_runs(others, data, self.space, _MOST_WARM, self.listener)

    def _reserve(self) -> Reserve:
        split = self.prepared.split
        each = self.prepared.pixels.seconds_an_image
        parts = len(split.train), len(split.validation), len(split.test)
        members = self.settings.ensemble or 0
        gain = all(map(gains_from_cores, map(str, self.space["backbone"].grid(LARGEST_GRID))))
        shares = self.resources.shares if gain else 1
        return Reserve(*parts, each, members, self.settings.max_epochs, shares)

    def _elapsed(self) -> float:
        """Seconds since the search was asked for."""
        return time.monotonic() - self.began

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
            self.seconds[phase] = round(time.perf_counter() - started, 2)

    def _close(self, status: str) -> None:
        self.run.update_info(status=status, finished=time.time(), seconds=self.seconds)


def _load_ahead() -> None:
    """Import what tests the winner, which the driver has not needed before, while a worker trains
    the winner again."""
    target = functools.partial(importlib.import_module, "automl_img.search.finalists")
    threading.Thread(target=target, daemon=True).start()


def _placement(resources: Resources) -> Placement:
    """Only trials that share a GPU need a bound on its memory."""
    shared = 0 < resources.gpus_per_trial < 1
    return Placement(resources.gpus, resources.gpu_bytes if shared else 0)
