from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from automl_img.training import checkpoint
from automl_img.training.countdown import Countdown
from automl_img.training.trainer import Trainer
from automl_img.trials import EpochResult, TrialSpec
from tests.training.trials import curve, train, trainer_of, with_

PLATEAU = {"optimizer__schedule": "plateau", "augment__rotation": "0.1", "head__dropout": "0.5"}


def interrupted(spec: TrialSpec, after: int) -> None:
    """Train ``after`` epochs and drop the trial, as a killed worker does."""
    trainer = trainer_of(spec)
    for result in trainer.epochs():
        if result.epoch == after:
            return


def test_a_resumed_trial_goes_on_as_if_nothing_had_happened(
    spec: TrialSpec, tmp_path: Path
) -> None:
    whole = train(with_(spec, tmp_path / "whole", max_epochs=4, fix=PLATEAU))
    torn = with_(spec, tmp_path / "torn", max_epochs=4, fix=PLATEAU)
    interrupted(torn, after=2)
    resumed = train(torn)
    # The last report may have been lost with the worker, so it comes again.
    assert [each.epoch for each in resumed] == [2, 3, 4]
    assert np.array(curve(resumed)) == pytest.approx(np.array(curve(whole[1:])), abs=1e-6)


@pytest.mark.slow
def test_a_finished_trial_whose_last_report_was_lost_trains_its_last_epoch_again(
    spec: TrialSpec,
) -> None:
    trainer = trainer_of(spec)
    for result in trainer.epochs():
        if result.epoch == 3:
            break
    again = train(spec)
    assert [each.epoch for each in again] == [2, 3]
    assert np.array(curve(again)) == pytest.approx(np.array(curve(trainer.results[1:])), abs=1e-6)


def test_a_writer_that_fails_leaves_the_old_checkpoint(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, folder = trainer_of(spec).model.state(), Path(spec.folder)
    results = [EpochResult(epoch, 1.0, 0.5, 1.0, 0.5, 0.1, 0.01) for epoch in (1, 2)]
    checkpoint.save(folder, state, results[:1])
    before = (folder / checkpoint.FILE).read_bytes()
    write = np.savez

    def full_disk(path: Path, **arrays: np.ndarray) -> None:
        write(path, **arrays)
        os.truncate(path, len(before) // 2)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full_disk)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save(folder, state, results)
    assert (folder / checkpoint.FILE).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [checkpoint.FILE]
    assert checkpoint.saved_results(folder) == results[:1]


def test_there_is_nothing_to_resume_without_a_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.saved_results(tmp_path) == []
    checkpoint.remove(tmp_path)


def test_a_checkpoint_runs_no_code_of_its_own(spec: TrialSpec, tmp_path: Path) -> None:
    class Gadget:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "hacked"),)

    np.savez(tmp_path / checkpoint.FILE, results=np.array(Gadget(), dtype=object))
    assert checkpoint.saved_results(tmp_path) == []
    assert not (tmp_path / "hacked").exists()


KILLED = """
import json, sys
from automl_img.training.trainer import Trainer
from automl_img.trials import TrialSpec
values = json.loads(sys.argv[1])
values["class_names"] = tuple(values["class_names"])
for result in Trainer(TrialSpec(**values), checkpoint_seconds=0).epochs():
    print(result.epoch, flush=True)
"""


@pytest.mark.slow
def test_a_trial_of_a_killed_process_goes_on_in_another(spec: TrialSpec, tmp_path: Path) -> None:
    torn = with_(spec, tmp_path / "torn", max_epochs=30)
    words = json.dumps(dataclasses.asdict(torn))
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in (b"2\n", b""):
            pass
        # In the middle of the third epoch or of writing it down.
        process.send_signal(signal.SIGKILL)
    done = checkpoint.saved_results(Path(torn.folder))
    assert 2 <= len(done) < 30
    whole = train(with_(spec, tmp_path / "whole", max_epochs=30))[: len(done) + 1]
    resumed: list[EpochResult] = []
    for result in trainer_of(torn).epochs():
        resumed.append(result)
        if len(resumed) == 2:
            break
    # Another process may round otherwise in another thread's order.
    assert np.array(curve(resumed)) == pytest.approx(np.array(curve(whole[-2:])), abs=1e-3)


@pytest.mark.parametrize("times", [1, 3], ids=["as many epochs", "as long as there is time"])
def test_a_retraining_goes_on_from_a_trial_that_was_cut_short_through_the_rest_of_its_schedule(
    spec: TrialSpec, tmp_path: Path, times: int
) -> None:
    cut = with_(spec, tmp_path / "cut", max_epochs=6, fix={"optimizer__schedule": "cosine"})
    interrupted(cut, after=4)
    done = len(checkpoint.saved_results(Path(cut.folder)))
    assert done == 4
    again = dataclasses.replace(
        cut,
        train_on_all=True,
        folder=str(tmp_path / "winner"),
        goes_on_from=cut.folder,
        deadline=None if times == 1 else time.time() + 1000,
    )
    anew = dataclasses.replace(again, folder=str(tmp_path / "anew"), goes_on_from=None)
    on, fresh = train(again), train(anew)
    assert on[0].loss < 0.7 * fresh[0].loss
    # With time for six epochs, those two that the trial had left are each made three times.
    left = [each.learning_rate for each in fresh[4:]]
    assert [each.learning_rate for each in on] == pytest.approx(sorted(left * times, reverse=True))


@pytest.mark.parametrize("seconds", [None, 1000], ids=["without a deadline", "with one"])
def test_a_retraining_goes_on_from_its_own_checkpoint(
    spec: TrialSpec, tmp_path: Path, seconds: float | None
) -> None:
    whole, torn = (
        dataclasses.replace(
            with_(spec, tmp_path / name, max_epochs=4, fix={"optimizer__schedule": "cosine"}),
            train_on_all=True,
            learning_rates=(0.01, 0.008, 0.004, 0.001),
            deadline=None if seconds is None else time.time() + seconds,
        )
        for name in ("whole", "torn")
    )
    unbroken = train(whole)
    interrupted(torn, after=2)
    resumed = train(torn)
    assert [each.epoch for each in resumed] == [2, 3, 4]
    rates = [each.learning_rate for each in resumed]
    assert rates == [each.learning_rate for each in unbroken[1:]]
    assert [each.loss for each in resumed] == pytest.approx(
        [each.loss for each in unbroken[1:]], abs=1e-6
    )


def out_of_time(spec: TrialSpec, after: int) -> Trainer:
    """Train with a deadline that passes in the midst of the epoch after ``after``."""
    trainer = trainer_of(dataclasses.replace(spec, deadline=time.time() + 1000))
    for result in trainer.epochs():
        if result.epoch == after:
            trainer._countdown = Countdown(0.0)
    return trainer


def test_a_trial_that_its_deadline_cuts_short_keeps_what_it_may_go_on_from(spec: TrialSpec) -> None:
    trainer = out_of_time(with_(spec, max_epochs=6), after=3)
    assert trainer.stop_reason == "budget"
    assert len(checkpoint.saved_results(Path(spec.folder))) == 3


@pytest.mark.parametrize("epochs", [1, 3])
def test_time_for_less_than_an_epoch_gives_a_result_all_the_same(
    spec: TrialSpec, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    steps = Countdown.steps

    def first(self: Countdown, count: int, validation: float) -> Iterator[range]:
        """The time is over after a step."""
        yield from itertools.islice(steps(self, count, validation), 1)

    monkeypatch.setattr(Countdown, "steps", first)
    short = dataclasses.replace(spec, deadline=time.time() + 1000, max_epochs=epochs)
    trainer = trainer_of(short)
    [result] = trainer.epochs()
    assert result.epoch == 1
    assert result.val_accuracy is not None
    assert trainer.stop_reason == "budget"
    # A retraining of so little is worth less than its trial.
    again = trainer_of(dataclasses.replace(short, train_on_all=True, folder=f"{spec.folder}-again"))
    assert list(again.epochs()) == []
    assert again.stop_reason == "budget"


def test_begun_anew_a_retraining_of_a_trial_that_was_cut_short_needs_more_than_an_epoch(
    spec: TrialSpec, tmp_path: Path
) -> None:
    cut = with_(spec, tmp_path / "cut", max_epochs=6)
    interrupted(cut, after=4)
    again = dataclasses.replace(spec, train_on_all=True, max_epochs=6, least_epochs=3)
    for source, reason in ((cut.folder, "finished"), (str(tmp_path / "nothing"), "budget")):
        folder = str(tmp_path / f"from {Path(source).name}")
        trainer = out_of_time(
            dataclasses.replace(again, goes_on_from=source, folder=folder), after=1
        )
        assert trainer.stop_reason == reason


@pytest.mark.parametrize(("least", "reason"), [(3, "finished"), (4, "budget")])
def test_a_retraining_counts_with_the_epochs_that_it_had_time_for(
    spec: TrialSpec, least: int, reason: str
) -> None:
    again = dataclasses.replace(spec, train_on_all=True, max_epochs=6, least_epochs=least)
    trainer = out_of_time(again, after=3)
    assert (trainer.stop_reason, len(trainer.results)) == (reason, 3)


def test_a_retraining_begins_anew_where_its_trial_left_no_checkpoint(
    spec: TrialSpec, tmp_path: Path
) -> None:
    alone = dataclasses.replace(spec, train_on_all=True, folder=str(tmp_path / "winner"))
    on = train(dataclasses.replace(alone, goes_on_from=str(tmp_path / "nothing")))
    fresh = train(dataclasses.replace(alone, folder=str(tmp_path / "anew")))
    assert np.array(curve_of_losses(on)) == pytest.approx(np.array(curve_of_losses(fresh)))


def curve_of_losses(results: list[EpochResult]) -> list[float]:
    return [result.loss for result in results]
