"""A trial trained again from its record, to see whether it gives the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from automl_img.data.prepare import prepare
from automl_img.errors import RunError
from automl_img.events import Listener, Phase
from automl_img.mirror.reading import read_run
from automl_img.models.weights import weights_of_space
from automl_img.runs import Run, refuse_links
from automl_img.search.measuring import Measuring
from automl_img.search.reopen import check_data, settings_of, space_of
from automl_img.search.resources import Resources, machine_of, share
from automl_img.search.sampler import Suggestion
from automl_img.search.specs import Specs
from automl_img.trials import EpochResult, TrialRecord, TrialSpec

# Elsewhere sums are rounded in another order, and training makes more of each difference; what the
# best validation accuracy may then differ by.
TOLERANCE = 0.03
# What decides the bits beside the versions.
_MACHINE = ("cpu", "gpus", "precision")


@dataclass(frozen=True)
class Reproduction:
    """What came of training a trial again.

    Attributes:
        record: of the trial.
        again: the same epochs, trained again.
        others: versions and parts of the machine that are not as they were, each as
            "keras 3.14 -> 3.15".
        exact: whether the same bits are to be expected: on the same machine, with one thread. GPUs
            add in another order each time.
    """

    record: TrialRecord
    again: tuple[EpochResult, ...]
    others: tuple[str, ...]
    exact: bool

    @property
    def identical(self) -> bool:
        """Whether validation loss and accuracy of each epoch are the same to the last bit."""
        return list(map(_metric, self.record.epochs)) == list(map(_metric, self.again))

    @property
    def difference(self) -> float:
        """Of the best validation accuracies, in [0, 1]."""
        return abs(_best(self.record.epochs) - _best(self.again))

    @property
    def holds(self) -> bool:
        """Whether it is the same, or where that cannot be expected as close as it may be."""
        return self.identical or (not self.exact and self.difference <= TOLERANCE)

    @property
    def sentence(self) -> str:
        """What came of it."""
        number, epochs = self.record.number, len(self.again)
        before, now = _best(self.record.epochs), _best(self.again)
        trial = f"trial {number}, {epochs} epoch{'' if epochs == 1 else 's'} again"
        if self.identical:
            return f"{trial}: validation accuracy {now:.4f}, the same to the last bit in each epoch"
        reached = f"{trial}: validation accuracy {now:.4f}, and {before:.4f} in its record"
        if self.exact:
            return f"{reached}; on the same machine, with one thread, each bit should be the same"
        if self.holds:
            return f"{reached}; within the {TOLERANCE} that another order of sums makes"
        return f"{reached}; that is more than the {TOLERANCE} that another order of sums makes"


def reproduce(
    run: str | Path | None, out: str | Path, number: int | None, listener: Listener
) -> Reproduction:
    """Train a trial of a run again, in a process like the worker that trained it, for as many
    epochs as it had, at their learning rates; nothing is written to the run.

    Args:
        run: a folder or a URL, or the name of a run in ``out``; the newest one for None.
        number: of the trial; None takes the winner's, or without a winner the best one.

    Raises:
        RunError: there is no such run or trial, the trial has no epoch to compare, its data or its
            space are not what they were, or it cannot be trained.
        TrialFailed: it cannot be trained here.
        SettingsError: it needs GPUs that are not here.
        DataError, WeightsError: see ``automl_img.search.study.search``.
    """
    found = read_run(run, out)
    refuse_links(found)
    record = _record(found, number)
    settings = settings_of(found, None, None)
    space = space_of(found, settings)
    weights = weights_of_space(space, settings.weights_dir)
    here = share(settings.workers, settings.gpus_per_trial)
    resources = _resources(found, record, here)
    prepared = prepare(settings, listener)
    check_data(found, prepared)
    with TemporaryDirectory(prefix="automl-img-") as folder:
        specs = Specs(settings, prepared, Run(Path(folder)), weights, resources)
        spec = _spec(specs, record)
        listener(Phase(f"training trial {record.number} again, {len(record.epochs)} epochs"))
        with Measuring(resources) as process:
            again = process.train(spec, len(record.epochs))
    others = _others(found, record, here)
    exact = not others and resources.threads == 1 and not resources.gpus_per_trial
    return Reproduction(record, tuple(again), others, exact)


def _record(run: Run, number: int | None) -> TrialRecord:
    records = run.trials()
    if number is None:
        winner = run.read_json("winner.json")
        usable = [each for each in records if each.best is not None]
        best = max(usable, key=lambda each: each.best.quality if each.best else (), default=None)
        number = int(winner["number"]) if winner else None if best is None else best.number
    chosen = [each for each in records if each.number == number]
    if not chosen:
        known = ", ".join(str(each.number) for each in records[:20]) or "none"
        raise RunError(
            f"the run {run.name} has no trial {number} to train again; its trials: {known}"
        )
    if chosen[0].stop_reason == "budget" and len(chosen[0].epochs) == 1:
        raise RunError(
            f"trial {number} of {run.name} cannot be compared: its only epoch was cut short by the "
            "end of its time"
        )
    if chosen[0].best is None:
        raise RunError(
            f"trial {number} of {run.name} has no epoch to compare: it ended with "
            f"{chosen[0].error or chosen[0].stop_reason}"
        )
    return chosen[0]


def _spec(specs: Specs, record: TrialRecord) -> TrialSpec:
    own = Suggestion(record.number, record.params, record.seed, record.origin, record.repeat_of)
    specs.write_rows()
    if record.origin == "probe":
        specs.write_probe_rows()
        spec = specs.probe(own)
    else:
        spec = specs.of(own)
    rates = tuple(epoch.learning_rate for epoch in record.epochs)
    return dataclasses.replace(spec, learning_rates=rates, keeps_best=False, measures=())


def _resources(run: Run, record: TrialRecord, here: Resources) -> Resources:
    """As many threads as the worker of the trial had, and its precision."""
    hardware = run.info.get("hardware", {})
    threads = record.threads or hardware.get("threads_per_worker") or here.threads
    precision = record.precision or hardware.get("precision") or "float32"
    return dataclasses.replace(here, workers=1, threads=int(threads), precision=str(precision))


def _others(run: Run, record: TrialRecord, here: Resources) -> tuple[str, ...]:
    """What is not as it was in the session that trained it."""
    info = run.info
    sessions, machines = info.get("sessions", []), info.get("machines", [])
    begun = [place for place, (began, _) in enumerate(sessions) if began <= record.ended]
    place = begun[-1] if begun else 0
    before = machines[place] if place < len(machines) else info
    now = machine_of(here)
    pairs = [("versions", name) for name in now["versions"]]
    pairs += [("hardware", name) for name in _MACHINE]
    found = [(name, before.get(part, {}).get(name), now[part].get(name)) for part, name in pairs]
    return tuple(f"{name} {old} -> {new}" for name, old, new in found if old != new)


def _metric(epoch: EpochResult) -> tuple[float | None, float | None]:
    return epoch.val_loss, epoch.val_accuracy


def _best(epochs: Sequence[EpochResult]) -> float:
    return max((epoch.val_accuracy or 0.0 for epoch in epochs), default=0.0)
