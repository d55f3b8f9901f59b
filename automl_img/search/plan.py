"""What a search will cost, before it is started: measured on this machine, then simulated.

The images are prepared as a search prepares them, and are there for it. A few configurations are
measured on some steps (``automl_img.search.survey``), and the search is simulated many times with
its real rungs (``automl_img.search.forecast``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from automl_img.budget import Budget
from automl_img.data.prepare import Prepared, prepare
from automl_img.events import Listener, Phase, ignore
from automl_img.models.hyperparameters import declared
from automl_img.models.imbalance import refuse_for_several_classes
from automl_img.models.weights import weights_of_space
from automl_img.runs import Run
from automl_img.search.advice import advice, misfits
from automl_img.search.cluster import resources_of
from automl_img.search.forecast import Candidate, Course, simulate
from automl_img.search.measuring import Measuring
from automl_img.search.objective import decided
from automl_img.search.proposals import FOR_PROBES
from automl_img.search.reserve import MEMBER, Reserve, gains_from_cores, seconds_alone
from automl_img.search.resources import Resources
from automl_img.search.rungs import Rungs
from automl_img.search.specs import PROBE_EPOCHS, Specs
from automl_img.search.spending import FOR_FINALISTS, FOR_RETRAINING, Spending
from automl_img.search.survey import Configuration, Survey, survey_of
from automl_img.settings import SearchSettings
from automl_img.space.presets import build_space, find_preset, read_preset

_ROUNDS = 100
# Measured on two cores, in seconds: Ray with its first worker, without TensorFlow; the report; and
# writing the exported model and reading it again, beside tracing it.
_RAY = 4.0
_REPORT = 3.0
_EXPORT = 1.0
# Of each weight: itself, and two averages of its gradients, as float32.
_CHECKPOINT_BYTES = 12
_MODEL_BYTES = 4


@dataclass(frozen=True)
class Range:
    """The middle one of the simulated searches; one of ten is below ``low``, one above ``high``."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        return cls(*(float(value) for value in np.quantile(values, (0.1, 0.5, 0.9))))


@dataclass(frozen=True)
class Plan:
    """What a search will cost.

    Attributes:
        data: its name.
        images: how many there are, by part.
        image_size: side in pixels.
        budget: as asked.
        workers: trials at a time.
        configurations: each backbone with what of it learns, and what that costs.
        trials, epochs: of the search, the training of finalists again left out.
        graphs: compiled models that are traced.
        seconds: from the start of the search to its report.
        parts: seconds by part, in their order, of the middle one of the simulated searches.
        planned: when this was told, in seconds since 1970.
        memory_limit: bytes that a trial may hold which has the whole machine.
        disk: bytes by what takes them.
        misfits: sentences: what will not fit, and why.
        advice: sentences: what to change.
    """

    data: str
    images: dict[str, int]
    image_size: int
    budget: str
    workers: int
    configurations: tuple[Configuration, ...]
    trials: Range
    epochs: Range
    graphs: float
    seconds: Range
    parts: dict[str, float]
    planned: float
    memory_limit: int
    disk: dict[str, int]
    misfits: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def ends(self) -> float:
        """When the search would end that starts now, in seconds since 1970."""
        return self.planned + self.seconds.middle


def plan_search(settings: SearchSettings, listener: Listener = ignore) -> Plan:
    """Say what the search of ``settings`` will cost; nothing is trained, and no run is made.

    Args:
        listener: hears what is being done.

    Raises:
        SettingsError: what was asked for cannot be done.
        DataError: the images cannot be used.
        WeightsError: pretrained weights cannot be had.
        SearchError: no configuration can be trained on this machine.
    """
    preset = read_preset(find_preset(settings.space))
    space = build_space(settings.space, preset, declared(), settings.search, settings.fixed)
    resources = resources_of(settings)
    weights = weights_of_space(space, settings.weights_dir)
    prepared = prepare(settings, listener)
    settings = decided(settings, prepared)
    if prepared.multi_label:
        refuse_for_several_classes(space)
    # The search will find what was kept by then.
    began = time.perf_counter()
    prepare(settings)
    prepare_seconds = time.perf_counter() - began
    listener(Phase("starting TensorFlow, to measure some configurations"))
    with TemporaryDirectory(prefix="automl-img-plan-") as folder, Measuring(resources) as measuring:
        specs = Specs(settings, prepared, Run(Path(folder)), weights, resources)
        specs.write_rows()
        found = survey_of(space, settings, prepared, specs, measuring, listener)
        start_seconds = measuring.start_seconds
    listener(Phase(f"simulating {_ROUNDS} searches"))
    return _Planner(settings, prepared, resources, found, prepare_seconds, start_seconds).plan()


class _Planner:
    """What the parts of a plan share."""

    def __init__(
        self,
        settings: SearchSettings,
        prepared: Prepared,
        resources: Resources,
        found: Survey,
        prepare_seconds: float,
        start_seconds: float,
    ) -> None:
        self._settings, self._prepared, self._resources = settings, prepared, resources
        self._found = found
        self._budget = settings.allowed
        counts = {part: len(rows) for part, rows in prepared.split.parts().items()}
        self._images = counts
        self._more = (counts["train"] + counts["validation"]) / counts["train"]
        self._prepare = prepare_seconds
        self._start = _RAY + start_seconds
        # Of what a search keeps back for its end only the numbers of trials are asked here.
        self._spending = Spending(self._budget, Reserve(0, 0, 0, 0.0), lambda: 0.0)
        self._probes = self._probes_that_fit()
        self._probing = sum(probe.full_seconds() for probe in self._probes) / resources.workers

    def plan(self) -> Plan:
        courses = sorted(self._courses(), key=self._seconds)
        parts = self._parts(courses[len(courses) // 2])
        disk = self._disk(courses)
        limit = self._resources.memory_bytes * self._resources.most_shares
        return Plan(
            data=self._prepared.name,
            images=self._images,
            image_size=self._prepared.image_size,
            budget=str(self._budget),
            workers=self._resources.workers,
            configurations=self._found.configurations,
            trials=Range.of([course.trials + len(self._probes) for course in courses]),
            epochs=Range.of([course.epochs for course in courses]),
            graphs=float(np.mean([course.graphs for course in courses])),
            seconds=Range.of([self._seconds(course) for course in courses]),
            parts={name: seconds for name, seconds in parts.items() if seconds},
            planned=time.time(),
            memory_limit=limit,
            disk=disk,
            misfits=misfits(self._found, self._settings, limit, disk),
            advice=advice(self._found, courses, parts, self._settings, self._prepared.image_size),
        )

    def _parts(self, course: Course) -> dict[str, float]:
        return {
            "preparing the images": self._prepare,
            "starting Ray and TensorFlow": self._start,
            "probes": self._probing,
            "trials": course.seconds,
            "finalists again": self._finalists(course),
            "retraining": self._retraining(course),
            "test, export, report": self._after(course),
        }

    def _seconds(self, course: Course) -> float:
        return sum(self._parts(course).values())

    def _courses(self) -> list[Course]:
        """Simulated searches within what the budget leaves for trials."""
        if self._budget.unit != "seconds":
            return self._simulated(self._search_budget(0.0))
        # What comes after the search depends on the winner, which the search has to find first.
        first = self._simulated(self._search_budget(0.3 * self._budget.amount))
        return self._simulated(self._search_budget(float(np.mean([*map(self._tail, first)]))))

    def _search_budget(self, tail: float) -> Budget:
        """What is left for the search.

        Args:
            tail: seconds of what comes after it.
        """
        amount, unit = self._budget.amount, self._budget.unit
        if unit == "trials":
            amount -= self._spending.repeats + len(self._probes)
        elif unit == "epochs":
            amount *= 1 - FOR_FINALISTS
            amount -= sum(phase.work.epochs for probe in self._probes for phase in probe.phases)
        else:
            amount -= tail + self._prepare + self._start + self._probing
        return Budget(max(amount, 1.0), unit)

    def _simulated(self, budget: Budget) -> list[Course]:
        return [
            simulate(
                self._found.start,
                self._found.others,
                budget,
                lambda: Rungs(self._settings.max_epochs),
                self._settings.max_epochs,
                self._resources.workers,
                seed,
            )
            for seed in range(_ROUNDS)
        ]

    def _probes_that_fit(self) -> tuple[Candidate, ...]:
        """The probes that the search makes, as ``proposals.Proposals`` decides it."""
        probes, most = self._found.probes, self._spending.trials_in(FOR_PROBES, PROBE_EPOCHS)
        if most is not None:
            return probes[:most]
        # The one that goes beyond its part is the last.
        ends = np.cumsum([probe.full_seconds() for probe in probes]) / self._resources.workers
        return probes[: int(np.sum(ends <= FOR_PROBES * self._budget.amount)) + 1]

    def _tail(self, course: Course) -> float:
        return self._finalists(course) + self._retraining(course) + self._after(course)

    def _finalists(self, course: Course) -> float:
        """As ``finals.Repeats`` does it: in rounds over the finalists, who are like the winner."""
        trainings, finalists = self._spending.repeats, self._spending.finalists
        winner = course.winner
        each = trainings * winner.again_seconds() + finalists * winner.graph_seconds
        seconds = each / self._resources.workers
        if self._budget.seconds is None:
            return seconds
        return min(seconds, FOR_FINALISTS * self._budget.seconds)

    def _retraining(self, course: Course) -> float:
        seconds = course.winner.retraining_seconds(self._more)
        if gains_from_cores(str(course.winner.params["backbone"])):
            seconds = seconds_alone(seconds, self._resources.shares)
        most = self._budget.seconds
        return seconds if most is None else min(seconds, FOR_RETRAINING * most)

    def _after(self, course: Course) -> float:
        """Test, export and report; the model is traced from images to logits once more."""
        last = course.winner.phases[-1]
        images = max(self._images["validation"], 1)
        each = (last.validation + last.view_of_validation) / images
        traced = last.graph + last.forward_graph
        single = self._images["test"] * each + traced
        members = self._settings.ensemble or 0
        return single + members * (MEMBER + single) + _EXPORT + _REPORT

    def _disk(self, courses: Sequence[Course]) -> dict[str, int]:
        most = max(item.parameters[-1] for item in self._found.configurations)
        features = float(np.mean([course.feature_bytes for course in courses]))
        return {
            "kept features": min(round(features), self._settings.feature_bytes),
            "checkpoints": self._resources.workers * _CHECKPOINT_BYTES * most,
            "the exported model": _MODEL_BYTES * most,
        }
