"""Worker processes over a whole search: what they keep, when they are replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from automl_img.events import EpochEnded, Event, TrialEnded, TrialStarted
from automl_img.runs import Run
from automl_img.search import finals
from automl_img.search.worker import MEMORY
from automl_img.trials import TrialState
from tests.pictures import class_folders
from tests.search.searches import PLENTY, Listening, small_search, trial_processes
from tests.search.spaces import TINY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Listening]:
    """A search of two workers over two structures, and everything that it said."""
    folder = tmp_path_factory.mktemp("search")
    heard = Listening()
    search = {
        "cnn.filters": "8,16",
        "optimizer.learning_rate": "0.001,0.003,0.01",
        "head.dropout": "0.1,0.2",
    }
    fix = {name: value for name, value in TINY.items() if name != "cnn.filters"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_IMG_CACHE", str(folder / "cache"))
        patch.setenv(MEMORY, PLENTY)
        # As after trials that took long.
        patch.setattr(finals, "WORTH_A_PROCESS", 0.0)
        run = small_search(
            class_folders(folder / "photos"),
            folder / "runs",
            heard,
            search=search,
            fix=fix,
            sampler="grid",
            budget=12,
            max_epochs=2,
            workers=2,
        )
    return run, heard


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_has_grown_is_replaced_and_no_trial_is_lost_or_run_twice(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """With a bound of one byte no process is to run a second trial, the last one included."""
    monkeypatch.setenv(MEMORY, "1")
    heard = Listening()
    run = small_search(photos, tmp_path / "runs", heard, budget=3, workers=workers)
    records = sorted(run.trials(), key=lambda record: record.number)
    assert [record.number for record in records] == [0, 1, 2]
    assert all(record.state is not TrialState.FAILED for record in records)
    for record in records:
        epochs = [result.epoch for result in record.epochs]
        assert epochs == list(range(1, len(epochs) + 1))
        assert record.stop_reason.startswith("rung") or len(epochs) == 3
    assert len(heard.of(TrialStarted)) == len(heard.of(TrialEnded)) == 3
    if workers == 1:
        first, *others = [heard.processes[number] for number in range(3)]
        assert len(first) == 1
        assert all(processes - first for processes in others)
        assert not heard.processes[0] & heard.processes[2]
    # Of two workers one may get the trial that the other sent away; it is replaced after that.
    fewest = 3 if workers == 1 else 2
    assert fewest <= len(heard.of_trials) <= 3


def test_a_trial_whose_worker_dies_each_time_fails_alone_and_keeps_its_epochs(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY, PLENTY)

    def kill_at_every_epoch(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.number == 0:
            for process in trial_processes():
                process.kill()

    run = small_search(photos, tmp_path / "runs", kill_at_every_epoch, budget=2, max_epochs=5)
    first, second = sorted(run.trials(), key=lambda record: record.number)
    assert first.state is TrialState.FAILED
    assert "worker process died" in str(first.error)
    assert [result.epoch for result in first.epochs] == [1, 2, 3]
    assert second.state is TrialState.COMPLETE
    assert run.info["status"] == "finished"


def test_a_worker_traces_each_structure_once_whatever_its_other_settings(
    by_two: tuple[Run, Listening],
) -> None:
    """Twelve trials of two structures on two workers; a structure is a graph for training and one
    for validation."""
    records = by_two[0].trials()
    assert len(records) == 12
    traced = [record.graphs_traced for record in records]
    assert None not in traced
    assert sum(count or 0 for count in traced) <= 2 * 2 * 2
    assert traced.count(0) >= 8


def test_the_process_of_the_command_needs_neither_keras_nor_tensorflow_while_trials_run(
    tmp_path: Path, photos: Path
) -> None:
    """They would cost it seconds and hundreds of megabytes; the retraining needs them first."""
    code = """
import sys
from pathlib import Path
from automl_img.events import TrialEnded
from tests.search.searches import small_search

def hear(event):
    if isinstance(event, TrialEnded):
        print("trial", event.record.state, sorted({"keras", "tensorflow"} & set(sys.modules)))
        raise KeyboardInterrupt

try:
    small_search(Path(sys.argv[1]), Path(sys.argv[2]) / "runs", hear)
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(photos), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.splitlines() == ["trial complete []", "stopped"]


def test_the_winner_is_retrained_in_a_process_of_its_own_where_that_pays(
    by_two: tuple[Run, Listening],
) -> None:
    run, heard = by_two
    winner = run.read_json("winner.json")
    assert winner is not None
    assert winner["retrained"]
    assert heard.of_trials
    assert heard.retraining
    for processes in heard.retraining:
        assert len(processes) == 1
        assert not processes & heard.of_trials
