"""How long what comes after the search will take, learnt from the search itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from automl_img.models.weights import find_variant
from automl_img.search.choice import has_begun
from automl_img.search.grid import LARGEST_GRID
from automl_img.search.rungs import ladder_of
from automl_img.trials import EpochResult, Params, TrialRecord

if TYPE_CHECKING:
    from automl_img.data.prepare import Prepared
    from automl_img.search.resources import Resources
    from automl_img.settings import SearchSettings
    from automl_img.space.dimensions import SearchSpace

# Seconds of what no trial tells: Ray's end, the report (measured on two cores: 3 to 5).
_REPORT = 6.0
# What becomes of a model once it is trained: written by the worker, read, traced and tested by the
# driver, exported, read and traced once more. Of any model; of each layer of its backbone; and the
# images that it predicts beside those of the test. Measured at 96 pixels on two cores: 1.8 s (cnn),
# 5 and 6 (MobileNet), 11.5 (EfficientNetV2B0), 12 (VGG16), 13 (ResNet50, Xception).
_EXPORT, _EXPORT_A_LAYER, _PREDICTED = 2.0, 0.045, 3 * 128
# Building one member of an ensemble and taking its weights, beside what a trace takes.
MEMBER = 2.0
# A process that has the whole machine: its imports, and tracing the graph once more.
_PROCESS = 12.0
# Training that takes longer on a share of the machine is worth such a process.
WORTH_A_PROCESS = 30.0
# More threads are not as many times faster: two took 0.62 of the time of one (from scratch).
_SPEEDUP = 0.7
# Trials whose validation accuracy is so close to the best may still win.
_CLOSE = 0.02
_FEWEST_REPEATS = 2
# Times vary; the machine has other things to do.
_MARGIN = 1.15


def gains_from_cores(backbone: str) -> bool:
    """Whether a training step is faster with more threads; measured, see docs/architecture.md.

    Networks of dense convolutions are; the small steps of MobileNet are not.
    """
    return not backbone.startswith("mobilenet")


def seconds_alone(seconds: float, shares: int) -> float:
    """How long a training takes that has the whole machine where that pays.

    Args:
        seconds: on one of ``shares`` of the machine.
    """
    if shares == 1 or seconds < WORTH_A_PROCESS:
        return seconds
    return float(_PROCESS + seconds / shares**_SPEEDUP)


def _layers_of(params: Params) -> int:
    """Of a pretrained backbone; 0 for a network from scratch."""
    variant = find_variant(str(params.get("backbone")))
    return 0 if variant is None else variant.cuts[-1]


@dataclass
class _Course:
    """What a trial has taken so far, in seconds; kept up to date with each epoch, as all trials are
    looked through with each.

    Attributes:
        faster: so many times as with one share of the machine, as it had several.
        seconds: of all epochs.
        reached: the best objective after each epoch.
        best: the epoch with the highest quality.
        until_best: seconds of the epochs up to that one.
        ordinary: seconds of an epoch that traces nothing, as the first one does.
        trace: what the first epoch took longer than the others do.
    """

    ladder: str
    layers: int
    faster: float = 1.0
    epochs: list[EpochResult] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0
    reached: list[float] = field(default_factory=list)
    best: EpochResult | None = None
    until_best: float = 0.0
    ordinary: float = 0.0
    trace: float = 0.0

    def add(self, result: EpochResult) -> None:
        """Take in the next epoch."""
        self.epochs.append(result)
        self.seconds += result.seconds
        self.reached.append(max([result.objective or 0.0, *self.reached[-1:]]))
        if self.best is None or result.quality > self.best.quality:
            self.best = result
            self.until_best = sum(each.seconds for each in self.epochs[: result.epoch])
        first, *others = (each.seconds for each in self.epochs)
        self.ordinary = median(others or [first])
        self.trace = max(0.0, first - self.ordinary)

    def leads(self, leader: _Course) -> bool:
        """Whether it may win though it is cut short; as in ``automl_img.search.choice``."""
        epochs = len(self.epochs)
        return (
            not self.complete
            and self.ladder == leader.ladder
            and has_begun(epochs, len(leader.epochs))
            and self.reached[-1] > leader.reached[:epochs][-1]
        )

    def seconds_to_retrain(self, max_epochs: int) -> float:
        """As long as it needed until its best epoch; one that is not at its end, what is left of
        its schedule, since it goes on from its checkpoint."""
        if self.complete or not max_epochs:
            return self.until_best
        return self.ordinary * (max_epochs - len(self.epochs))


@dataclass(frozen=True)
class _Dearest:
    """Of the trials that may win, the most seconds that one takes.

    Attributes:
        retraining: to be trained again with one share of the machine.
        trial: that its trial took.
        tracing: to trace its graph for the export.
    """

    retraining: float
    trial: float
    tracing: float


class Reserve:
    """Estimates in seconds of wall time; generous, since a search must not run over its time."""

    def __init__(
        self,
        train: int,
        validation: int,
        test: int,
        seconds_an_image: float,
        members: int = 0,
        max_epochs: int = 0,
        shares: int = 1,
        threads: int = 0,
    ) -> None:
        """
        Args:
            train, validation, test: how many images there are.
            seconds_an_image: that reading and decoding took.
            max_epochs: of a trial; 0 expects each to end with its best epoch.
            shares: of the machine, of which a trial has one; a retraining has all.
            members: the most that the ensemble may have; 0 where none was asked for.
            threads: of a share; 0 takes all trials to have one.
        """
        self._more = (train + validation) / max(train, 1)
        self._test = test
        self._seconds_an_image = seconds_an_image
        self._members = members
        self._max_epochs = max_epochs
        self._shares, self._threads = shares, threads
        self._ms_per_image = 0.0
        self._courses: dict[int, _Course] = {}
        # Asked for several times with each event; None where something was heard since.
        self._known: _Dearest | None = None

    def heard(
        self,
        number: int,
        result: EpochResult,
        ms_per_image: float | None,
        params: Params | None = None,
        threads: int | None = None,
    ) -> None:
        """Take in an epoch of trial ``number``, in the order of its epochs.

        Args:
            params, threads: of the trial.
        """
        if result.val_accuracy is None:
            return
        if number not in self._courses:
            own = params or {}
            self._courses[number] = _Course(ladder_of(own), _layers_of(own))
        course = self._courses[number]
        if threads and self._threads and self._shares > 1:
            course.faster = max(1.0, threads / self._threads) ** _SPEEDUP
        course.add(result)
        self._known = None
        self._ms_per_image = max(self._ms_per_image, course.faster * (ms_per_image or 0.0))

    def restore(self, records: Iterable[TrialRecord]) -> None:
        """Take in the trials of earlier sessions."""
        for record in records:
            for epoch in record.epochs:
                facts = record.ms_per_image, record.params, record.threads
                self.heard(record.number, epoch, *facts)
            self.ended(record)

    def ended(self, record: TrialRecord) -> None:
        """Take in how a trial ended: one that the budget cut short would go on."""
        if record.number in self._courses:
            self._courses[record.number].complete = record.stop_reason != "budget"
            self._known = None

    def retraining(self, most: float) -> float:
        """Training the winner again, on the validation images too, for ``most`` seconds at most."""
        longest = self._more * self._dearest.retraining
        return min(most, _MARGIN * seconds_alone(longest, self._shares))

    def repeats(self, count: int, most: float) -> float:
        """Training those that may win again, at most ``count`` times and for ``most`` seconds; 0
        where there is no time for two, as one says nothing."""
        longest = _MARGIN * self._dearest.trial
        if not longest or count < _FEWEST_REPEATS or _FEWEST_REPEATS * longest > most:
            return 0.0
        return min(count * longest, most)

    def after_retraining(self, params: Params | None = None) -> float:
        """Test, export and report, of an ensemble too.

        Args:
            params: of a trial that has not been heard of and may win.
        """
        decoded = self._test * self._seconds_an_image
        single = _EXPORT + decoded + self._model(_layers_of(params or {}))
        return _MARGIN * single + self.ensemble() + _REPORT

    def ensemble(self) -> float:
        """Building an ensemble, testing and exporting it."""
        return self._members * (MEMBER + self._model())

    def _model(self, layers: int = 0) -> float:
        """Building, tracing and testing one model, of those that may win the dearest, or one whose
        backbone has so many layers."""
        tracing = max(self._dearest.tracing, _EXPORT_A_LAYER * layers)
        # Trials were timed on a share of the machine; the driver has all of it.
        images = (self._test + _PREDICTED) / float(self._shares**_SPEEDUP)
        return tracing + images * self._ms_per_image / 1000

    @property
    def _dearest(self) -> _Dearest:
        if self._known is None:
            close = self._close()
            self._known = _Dearest(
                max(
                    (each.faster * each.seconds_to_retrain(self._max_epochs) for each in close),
                    default=0.0,
                ),
                max((each.seconds for each in close), default=0.0),
                max((max(each.trace, _EXPORT_A_LAYER * each.layers) for each in close), default=0),
            )
        return self._known

    def _close(self) -> list[_Course]:
        """Trials that may win: the best one, those that ended as good, and those that are ahead of
        it after as many epochs. One that is on its way counts once it is one of these."""
        courses = list(self._courses.values())
        leader = max(courses, key=lambda course: course.reached[-1], default=None)
        if leader is None:
            return []
        return [
            course
            for course in courses
            if course is leader
            or (course.complete and course.reached[-1] >= leader.reached[-1] - _CLOSE)
            or course.leads(leader)
        ]


def reserve_of(
    settings: SearchSettings, prepared: Prepared, resources: Resources, space: SearchSpace
) -> Reserve:
    """The reserve of a run, before any trial."""
    split, each = prepared.split, prepared.pixels.seconds_an_image
    parts = len(split.train), len(split.validation), len(split.test)
    gain = all(map(gains_from_cores, map(str, space["backbone"].grid(LARGEST_GRID))))
    shares = resources.shares if gain else 1
    members, threads = settings.ensemble or 0, resources.threads
    return Reserve(*parts, each, members, settings.max_epochs, shares, threads)
