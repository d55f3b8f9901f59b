"""Whole searches that are stopped, killed or have come to their end, and go on."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from automl_img import resume, search
from automl_img.errors import RunError
from automl_img.events import Event, Notice, TrialEnded, TrialStarted
from automl_img.runs import Run
from automl_img.search.earlier import earlier_of
from automl_img.search.specs import WINNER
from automl_img.search.storage import open_studies
from tests.pictures import class_folders
from tests.search.searches import small_search

pytestmark = pytest.mark.slow

SETTINGS = {"budget": 5, "max_epochs": 4, "name": "run"}
_SEARCH = """
import sys
from pathlib import Path
from tests.search.searches import small_search
small_search(Path(sys.argv[1]), Path(sys.argv[2]), budget=5, max_epochs=4, name="run")
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos") / "photos", per_class=40)


def killed(images: Path, out: Path, when: Callable[[Run], bool]) -> Run:
    """A search that was killed as soon as ``when`` held of its run."""
    command = [sys.executable, "-c", _SEARCH, str(images), str(out)]
    run = Run(out / "run")
    with subprocess.Popen(command, start_new_session=True) as driver:
        while driver.poll() is None:
            if (run.path / "run.json").exists() and when(run):
                driver.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
    assert driver.returncode == -signal.SIGKILL, "it came to its end before it was to be killed"
    return run


def check_whole(run: Run, trials: int = 5) -> None:
    """Each trial was begun and ended once, and the winner tested once."""
    numbers = [each.number for each in run.trials()]
    assert len(numbers) == trials
    assert {start.number for start in run.starts()} == set(numbers)
    [study] = open_studies(run.study)
    # One that was being asked for as the driver was killed has no number yet.
    asked = [t for t in study.trials if "number" in t.user_attrs]
    begun = [t for t in asked if t.user_attrs.get("stop_reason") != "not started"]
    assert sorted(trial.user_attrs["number"] for trial in begun) == numbers
    assert all(trial.state.is_finished() for trial in study.trials)
    info = run.info
    assert info["status"] == "finished"
    assert len(info["tested"]) == 1
    assert (run.read_json("test.json") or {})["images"] == 12
    assert run.model.exists()
    assert run.report.exists()
    assert not list((run.path / "trials").glob("*"))


@pytest.fixture(scope="module")
def cut_short(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed in its second trial; to be copied."""
    patch = pytest.MonkeyPatch()
    out = tmp_path_factory.mktemp("cut-short")
    with patch.context() as context:
        context.setenv("AUTOML_IMG_CACHE", str(tmp_path_factory.mktemp("cache")))
        killed(images, out, lambda run: len(run.starts()) > 1 and len(run.trials()) == 1)
    return out


def goes_on(run: Run) -> list[Event]:
    """Resume a run that was killed, and see that it ends whole and repeats nothing."""
    before = {each.number: each for each in run.trials()}
    left = earlier_of(run).unfinished
    events: list[Event] = []
    resume("run", out=run.path.parent, listener=events.append)
    check_whole(run)
    after = {each.number: each for each in run.trials()}
    assert {number: after[number] for number in before} == before
    again = [event.number for event in events if isinstance(event, TrialStarted)]
    assert not set(again) & set(before)
    assert {each.suggestion.number for each in left} <= set(again)
    return events


def test_a_search_that_was_killed_in_a_trial_goes_on_and_tells_of_other_versions(
    cut_short: Path, tmp_path: Path
) -> None:
    shutil.copytree(cut_short, tmp_path / "runs")
    run = Run(tmp_path / "runs" / "run")
    run.update_info(versions={**run.info["versions"], "keras": "3.0.0"})
    words = [event.text for event in goes_on(run) if isinstance(event, Notice)]
    assert any("versions are others than as the run began: keras 3.0.0 ->" in w for w in words)
    with (run.path / "split.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 120


@pytest.mark.parametrize(
    ("moment", "when"),
    [
        ("retraining", lambda run: (run.path / WINNER).exists()),
        ("report", lambda run: run.model.exists()),
    ],
)
def test_a_search_that_was_killed_at_its_end_goes_on_and_repeats_nothing(
    images: Path, tmp_path: Path, moment: str, when: Callable[[Run], bool]
) -> None:
    run = killed(images, tmp_path / "runs", when)
    known = [each.number for each in run.trials()]
    goes_on(run)
    # There was nothing left but the end.
    assert [each.number for each in run.trials()] == known


def test_ctrl_c_loses_no_epoch_and_a_finished_run_goes_on_with_a_larger_budget_alone(
    images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"

    def interrupt(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == 1:
            signal.raise_signal(signal.SIGINT)

    run = small_search(images, out, interrupt, **SETTINGS)
    assert run.info["status"] == "interrupted"
    tested = len(run.info["tested"])
    resume("run", out=out)
    assert len(run.trials()) == 5
    assert run.info["status"] == "finished"
    assert Counter(each.stop_reason for each in run.trials())["interrupted"] <= 1
    before, known = run.read_json("test.json"), run.info["tested"]
    # Those that were asked for and never began have numbers too.
    earlier = [each.number for each in run.trials()]
    assert len(known) in (tested, tested + 1)
    with pytest.raises(RunError, match=r"has come to its end; give it more with --budget: \+2"):
        resume("run", out=out)
    with pytest.raises(RunError, match="go on with it by automl-img resume run"):
        search(images, out=str(out), name="run")
    events: list[Event] = []
    resume(out=out, budget="+2", listener=events.append)
    ended = [event.record.number for event in events if isinstance(event, TrialEnded)]
    assert len(ended) == 2
    assert [each.number for each in run.trials()] == sorted([*earlier, *ended])
    info = run.info
    assert info["settings"]["budget"] == "7"
    assert len(info["sessions"]) == 3
    winner = run.read_json("winner.json") or {}
    if winner["number"] == known[-1]["trial"]:
        # It won again: nothing of it is done twice.
        assert info["tested"] == known
        assert run.read_json("test.json") == before
    else:
        assert [each["trial"] for each in info["tested"]][-1] == winner["number"]
        assert len(info["tested"]) == len(known) + 1


def test_data_or_a_space_that_changed_are_refused_and_nothing_is_written(
    images: Path, cut_short: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    shutil.copytree(cut_short, out)
    run = Run(out / "run")
    before = (run.path / "run.json").read_bytes()
    kept = (run.path / "space.yaml").read_text()
    (run.path / "space.yaml").write_text(kept.replace("0.001", "0.002"))
    with pytest.raises(RunError, match="the space of a run stays as it is"):
        resume("run", out=out)
    (run.path / "space.yaml").write_text(kept)
    first = min((images / "red").iterdir())
    own = first.read_bytes()
    try:
        first.write_bytes(max((images / "red").iterdir()).read_bytes())
        with pytest.raises(RunError, match="the data of a run stay as they are"):
            resume("run", out=out)
        first.unlink()
        with pytest.raises(RunError, match=r"\(96 -> \d+ train"):
            resume("run", out=out)
    finally:
        first.write_bytes(own)
    assert (run.path / "run.json").read_bytes() == before
