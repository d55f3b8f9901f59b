"""A whole search as one straight line, from data to tested winner."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_img.data.prepare import Prepared, prepare
from automl_img.errors import SearchError
from automl_img.events import Listener, Notice, Phase, SearchStarted, ignore
from automl_img.files import append_json_line, replacing, write_text
from automl_img.models.hyperparameters import declared
from automl_img.models.weights import weights_of_space
from automl_img.runs import Run, check_free, create_run, remove_folders
from automl_img.search.hardware import Resources, share
from automl_img.search.inputs import run_info, write_split
from automl_img.search.interrupts import Interrupt, catching_interrupts
from automl_img.search.placement import Placement
from automl_img.search.rungs import Rungs
from automl_img.search.specs import Specs
from automl_img.search.start import start_set
from automl_img.settings import SearchSettings, check
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import (
    build_space,
    find_preset,
    read_preset,
    space_yaml,
)
from automl_img.trials import TrialRecord

if TYPE_CHECKING:
    from automl_img.training.trainer import Trainer

# Of the driver, before it imports Keras: the backend of its workers, and a share of the GPU alone.
_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
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
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    asked = check(settings if data is None else {**settings, "data": str(data)})
    space = build_space(
        asked.space, read_preset(find_preset(asked.space)), declared(), asked.search, asked.fix
    )
    if asked.name is not None:
        check_free(Path(asked.out), asked.name)
    resources = share(asked.workers, asked.gpus_per_trial)
    weights = weights_of_space(space, asked.weights_dir)
    prepared = prepare(asked, listener)
    if asked.space == "cnn" and prepared.image_size > _SMALL_IMAGES:
        listener(Notice("--space pretrained usually beats the space cnn on photos of this size"))
    return _Study(asked, space, resources, prepared, weights, listener).run_to_the_end()


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
    ) -> None:
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
        self.specs = Specs(settings, prepared, self.run, weights, resources.precision)

    def run_to_the_end(self) -> Run:
        """Search, retrain, test, export, report; each step keeps what it did."""
        try:
            self._write_inputs()
            with catching_interrupts(self.listener) as interrupt:
                self._search(interrupt)
                self._finish()
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
        self._leave_out(prepared.left_out)
        rows: dict[str, Any] = dict(prepared.rows_arrays())
        with replacing(path / "rows.npz") as temporary:
            np.savez(temporary, **rows)

    def _search(self, interrupt: Interrupt) -> None:
        """Run the trials."""
        # Importing Ray is part of the wait.
        self.listener(Phase("starting Ray and TensorFlow, about 15 s"))
        from automl_img.search.conductor import Conductor
        from automl_img.search.engine import local_ray, run_trials
        from automl_img.search.sampler import Sampler, grid

        settings, resources = self.settings, self.resources
        with self._timed("search"):
            sampler = Sampler(self.run.study, self.space, settings.sampler, settings.seed)
            budget = settings.budget
            points = start_set(self.space)
            if settings.sampler == "grid":
                points = grid(self.space, budget, settings.seed)
                budget = len(points)
            sampler.enqueue(points)
            # TPE follows from results as soon as the points that were set by hand are through.
            foreseen = len(points) if settings.sampler == "tpe" else budget
            rungs = Rungs(settings.max_epochs)
            rungs.rebuild(sampler.history())
            self.listener(SearchStarted(budget, settings.max_epochs, resources.workers))
            conductor = Conductor(
                self.run,
                sampler,
                rungs,
                _placement(resources),
                self.specs.of,
                self.specs.graph,
                budget,
                foreseen,
                self.listener,
                lambda: interrupt.requested,
            )
            with closing(sampler), local_ray(resources):
                run_trials(conductor, self.run, resources, self.listener)

    def _finish(self) -> None:
        """The winner: retrained, then tested once, then exported."""
        # The driver has not needed it before.
        self.listener(Phase("loading TensorFlow, to retrain the winner"))
        from automl_img.search import finalists

        prepared, records = self.prepared, self.run.trials()
        ranked = finalists.rank(records)
        labels = prepared.index.labels[prepared.split.validation]
        names = prepared.names_of_validation
        finalists.keep_validation_predictions(self.run, ranked, labels, names)
        with self._timed("retrain"):
            trainer = self._retrain_best(ranked)
        with self._timed("test"):
            self.listener(Phase(f"reading the {prepared.test.count:,} test images, once"))
            left_out = finalists.evaluate_once(
                self.run,
                trainer.serving,
                prepared.test,
                prepared.class_names,
                self.settings.seed,
                self.listener,
            )
            self._leave_out(left_out)
        with self._timed("export"):
            self.listener(Phase("exporting the model and comparing it with the trained one"))
            finalists.export_winner(self.run, trainer)
        remove_folders([self.run.path / "trials", self.run.path / "winner"])

    def _retrain_best(self, ranked: list[TrialRecord]) -> Trainer:
        """The best trial retrained, or where that fails the next best.

        Raises:
            SearchError: every one of them failed.
        """
        from automl_img.search.finalists import retrain
        from automl_img.training.guards import as_trial_failure

        for record in ranked:
            epochs = record.best.epoch if record.best else 0
            images = "all but the test images"
            self.listener(Phase(f"retraining trial {record.number} on {images}, {epochs} epochs"))
            spec = self.specs.of(record, weighed_by=("train", "validation"))
            try:
                return retrain(self.run, record, spec, self.listener)
            except Exception as error:
                failure = as_trial_failure(error)
                self.listener(
                    Notice(
                        f"trial {record.number} cannot be retrained ({failure}); the next one is"
                    )
                )
        raise SearchError(f"none of {len(ranked)} trials could be retrained; the last: {failure}")

    def _report(self) -> None:
        from automl_img.report.render import write_report

        self.listener(Phase("writing the report"))
        write_report(self.run)

    def _leave_out(self, entries: Any) -> None:
        for entry in entries:
            append_json_line(self.run.path / "left_out.jsonl", dataclasses.asdict(entry))

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = round(time.perf_counter() - started, 2)

    def _close(self, status: str) -> None:
        self.run.update_info(status=status, finished=time.time(), seconds=self.seconds)


def _placement(resources: Resources) -> Placement:
    """Only trials that share a GPU need a bound on its memory."""
    shared = 0 < resources.gpus_per_trial < 1
    return Placement(resources.gpus, resources.gpu_bytes if shared else 0)
