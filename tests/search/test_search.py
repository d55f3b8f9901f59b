"""Whole searches on real small images: Ray, Optuna, Keras and the files they leave."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_img import search
from automl_img.api import load_space, predict
from automl_img.errors import RunError, SearchError
from automl_img.events import EpochEnded, Event, Notice, Phase, TrialEnded, TrialStarted
from automl_img.runs import Run, all_runs
from automl_img.search.storage import open_studies
from automl_img.search.worker import MEMORY
from automl_img.trials import TrialState
from tests.pictures import class_folders
from tests.search.searches import (
    PLENTY,
    WIDE,
    Listening,
    ray_processes,
    small_search,
    trial_processes,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def heard() -> Listening:
    """What ``finished`` said."""
    return Listening()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, heard: Listening) -> tuple[Run, list[Event]]:
    """One search that came to its end, and everything that it said."""
    folder = tmp_path_factory.mktemp("search")
    photos = class_folders(folder / "photos", per_class=60)
    (photos / "red" / "broken.png").write_bytes(b"not an image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_IMG_CACHE", str(folder / "cache"))
        patch.setenv(MEMORY, PLENTY)
        run = small_search(photos, folder / "runs", heard, budget=4, max_epochs=6)
    return run, heard.events


def test_the_winner_of_a_search_knows_what_it_was_shown(finished: tuple[Run, list[Event]]) -> None:
    scores = finished[0].read_json("test.json")
    assert scores is not None
    assert scores["images"] == 18
    assert scores["accuracy"] >= 0.9


def test_the_run_folder_is_complete_and_nothing_else_is_left(
    finished: tuple[Run, list[Event]],
) -> None:
    run = finished[0]
    assert sorted(path.name for path in run.path.iterdir()) == [
        ".lock",
        "final.json",
        "label_errors.json",
        "left_out.jsonl",
        "model.keras",
        "predictions",
        "report.html",
        "report.json",
        "rows.npz",
        "run.json",
        "space.yaml",
        "split.csv",
        "start.json",
        "started.jsonl",
        "study.db",
        "test.json",
        "thumbnails",
        "trials.jsonl",
        "winner.json",
    ]
    info = run.info
    assert info["status"] == "finished"
    assert info["data"]["splits"] == {"train": 144, "validation": 18, "test": 18}
    assert set(info["seconds"]) == {"search", "retrain", "test", "export"}
    with (run.path / "split.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 180
    assert "broken.png" in (run.path / "left_out.jsonl").read_text()
    assert load_space(str(run.path / "space.yaml")).searched == set(WIDE)


def test_the_records_and_the_study_tell_the_same(finished: tuple[Run, list[Event]]) -> None:
    run = finished[0]
    records = run.trials()
    [study] = open_studies(run.study)
    assert len(records) == 4
    for record, trial in zip(records, study.trials, strict=True):
        assert trial.state.name.lower().replace("fail", "failed") == record.state.value
        curve = {result.epoch: result.val_accuracy for result in record.epochs}
        assert trial.intermediate_values == curve
        assert record.parameters is not None
        assert record.ms_per_image is not None


def test_the_events_tell_the_whole_search_in_order(finished: tuple[Run, list[Event]]) -> None:
    run, events = finished
    started = [event.number for event in events if isinstance(event, TrialStarted)]
    ended = [event.record for event in events if isinstance(event, TrialEnded)]
    assert started == [0, 1, 2, 3]
    assert sorted(record.number for record in ended) == started
    retraining = [e for e in events if isinstance(e, EpochEnded) and e.number is None]
    winner = run.read_json("winner.json")
    assert winner is not None
    assert len(retraining) == winner["epochs"] == len(winner["history"])


def test_trials_follow_each_other_in_one_process(
    finished: tuple[Run, list[Event]], heard: Listening
) -> None:
    assert len(heard.of_trials) == 1


def test_the_winner_is_retrained_along_the_rates_of_its_trial_for_its_best_epochs(
    finished: tuple[Run, list[Event]],
) -> None:
    run = finished[0]
    winner = run.read_json("winner.json")
    assert winner is not None
    trial = next(record for record in run.trials() if record.number == winner["number"])
    assert trial.best is not None
    assert winner["validation_accuracy"] == trial.best.val_accuracy
    assert winner["validation_accuracy"] == max(
        record.best.val_accuracy or 0 for record in run.trials() if record.best
    )
    rates = [result.learning_rate for result in trial.epochs[: trial.best.epoch]]
    assert [result["learning_rate"] for result in winner["history"]] == rates


def test_kept_validation_predictions_have_the_accuracy_of_the_best_epoch(
    finished: tuple[Run, list[Event]],
) -> None:
    run = finished[0]
    for record in run.trials():
        kept = run.read_predictions(f"trial-{record.number:05d}")
        assert kept is not None
        assert record.best is not None
        accuracy = float((kept.probabilities.argmax(axis=1) == kept.labels).mean())
        assert accuracy == pytest.approx(record.best.val_accuracy)


def test_the_exported_model_predicts_the_test_images_as_they_were_scored(
    finished: tuple[Run, list[Event]],
) -> None:
    run = finished[0]
    kept = run.read_predictions("test")
    assert kept is not None
    photos = run.path.parent.parent / "photos"
    found = predict(run.model, [photos / name for name in kept.names])
    given = np.array([list(one.probabilities.values()) for one in found])
    assert np.allclose(given, kept.probabilities, atol=1e-4)
    assert [one.label for one in found] == [
        run.info["data"]["class_names"][row.argmax()] for row in kept.probabilities
    ]


def test_the_search_never_reads_a_test_image(tmp_path: Path, private_cache: Path) -> None:
    """From the first trial until the winner is retrained the test images are not even there."""
    photos = tmp_path / "photos"
    for place, part in enumerate(("train", "val", "test")):
        class_folders(photos / part, per_class=8, seed=place)
    hidden = tmp_path / "hidden"
    seen_while_hidden: list[str] = []

    def hide(event: Event) -> None:
        if isinstance(event, TrialStarted) and event.number == 0:
            (photos / "test").rename(hidden)
            for images in private_cache.rglob("images.npy"):
                seen_while_hidden.append(str(len(np.load(images, mmap_mode="r"))))
        if isinstance(event, Phase) and "test images, once" in event.text:
            assert (run_folder() / "winner.json").exists()
            hidden.rename(photos / "test")

    def run_folder() -> Path:
        return all_runs(tmp_path / "runs")[0].path

    run = small_search(photos, tmp_path / "runs", hide, budget=2, keep_copies=True)
    assert seen_while_hidden == ["48"]
    kept = run.read_predictions("test")
    assert kept is not None
    assert len(kept.labels) == 24


def test_a_seed_and_one_worker_give_the_same_search_twice(
    finished: tuple[Run, list[Event]], tmp_path: Path
) -> None:
    def told(run: Run) -> list[object]:
        keep = ("number", "params", "seed", "stop_reason")
        lines: list[object] = []
        for record in run.trials():
            values = dataclasses.asdict(record)
            scores = [(e["loss"], e["val_loss"], e["val_accuracy"]) for e in values["epochs"]]
            lines.append(([values[key] for key in keep], scores))
        return [*lines, run.read_json("test.json")]

    first, _ = finished
    photos = first.path.parent.parent / "photos"
    second = small_search(photos, tmp_path / "again", budget=4, max_epochs=6)
    assert told(second) == told(first)


def test_a_diverging_trial_fails_alone(tmp_path: Path, photos: Path) -> None:
    search = {"optimizer.learning_rate": "0.003,1.0", "regularization.l2": "0,0.1"}
    explosive = {
        "cnn.batch_normalization": "false",
        "cnn.depth": "5",
        "cnn.filters": "8",
        "cnn.convolutions": "4",
        "batch_size": "4",
    }
    run = small_search(
        photos, tmp_path / "runs", search=search, fix=explosive, budget=4, sampler="grid"
    )
    reasons = [record.stop_reason for record in run.trials()]
    failed = [record for record in run.trials() if record.state is TrialState.FAILED]
    assert reasons.count("diverged") == len(failed) > 0
    assert all("learning rate" in str(record.error) for record in failed)
    assert run.info["status"] == "finished"


def test_a_killed_worker_costs_its_trial_nothing_but_time_and_ctrl_c_keeps_the_best_so_far(
    tmp_path: Path, photos: Path
) -> None:
    events: list[Event] = []
    killed: list[int] = []

    def hear(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochEnded) and event.number == 0 and not killed:
            for process in trial_processes():
                killed.append(process.pid)
                process.kill()
        if isinstance(event, TrialEnded) and event.record.number == 0:
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    run = small_search(photos, tmp_path / "runs", hear, budget=50, max_epochs=4)
    assert killed
    first = run.trials()[0]
    assert first.state is TrialState.COMPLETE
    assert [result.epoch for result in first.epochs] == [1, 2, 3, 4]
    assert run.info["status"] == "interrupted"
    assert len(run.trials()) <= 2
    assert run.read_json("test.json") is not None
    assert run.model.exists()
    assert any(isinstance(e, Notice) and "stopping" in e.text for e in events)


def test_a_second_ctrl_c_stops_at_once_and_loses_no_finished_trial(
    tmp_path: Path, photos: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, TrialEnded):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        small_search(photos, tmp_path / "runs", interrupt, budget=50)
    (run,) = all_runs(tmp_path / "runs")
    assert len(run.trials()) == 1
    assert run.info["status"] == "interrupted"
    # A killed process is there until its parent has heard of it.
    deadline = time.monotonic() + 20
    while (left := ray_processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_a_search_in_which_every_trial_fails_says_why(tmp_path: Path, photos: Path) -> None:
    def spoil(event: Event) -> None:
        # The pixels disappear under the running search, as on a disk that fails.
        if isinstance(event, TrialStarted):
            for images in Path(os.environ["AUTOML_IMG_CACHE"]).rglob("images.npy"):
                images.write_bytes(b"")

    with pytest.raises(SearchError, match=r"none of 2 trials finished an epoch; the first failed"):
        small_search(photos, tmp_path / "runs", spoil, budget=2)
    (run,) = all_runs(tmp_path / "runs")
    assert run.info["status"] == "failed"
    assert [record.state for record in run.trials()] == [TrialState.FAILED] * 2


def test_where_the_best_cannot_be_retrained_the_next_best_is(tmp_path: Path, photos: Path) -> None:
    events: list[Event] = []

    def fail_first(event: Event) -> None:
        events.append(event)
        in_the_way = tmp_path / "runs" / "spoilt" / "winner"
        match event:
            case Phase(words) if words.startswith("retraining trial") and len(tried(events)) == 1:
                # No folder can be made where a file is.
                in_the_way.write_text("")
            case Notice(words) if "cannot be retrained" in words:
                in_the_way.unlink()
            case _:
                pass

    run = small_search(photos, tmp_path / "runs", fail_first, budget=2, name="spoilt")
    winner = run.read_json("winner.json")
    assert winner is not None
    first, second = tried(events)
    assert winner["number"] == second != first
    assert any(isinstance(e, Notice) and "cannot be retrained" in e.text for e in events)
    assert run.info["status"] == "finished"


def tried(events: list[Event]) -> list[int]:
    """The trials whose retraining began."""
    words = [event.text for event in events if isinstance(event, Phase)]
    return [int(text.split()[2]) for text in words if text.startswith("retraining trial")]


def test_a_taken_name_is_refused_before_anything_is_read(
    finished: tuple[Run, list[Event]], tmp_path: Path
) -> None:
    run = finished[0]
    with pytest.raises(RunError, match="exists already"):
        search(tmp_path / "not there", out=str(run.path.parent), name=run.name)


def test_grey_and_odd_images_go_through_to_predictions(tmp_path: Path) -> None:
    """One class of 16-bit grey, one of 1-bit images with hostile names."""
    rng = np.random.default_rng(0)
    for name, dark in (("dunkel & <b>", True), ("hell 'x'", False)):
        folder = tmp_path / "odd" / name
        folder.mkdir(parents=True)
        for number in range(15):
            grey = rng.integers(0, 90, (12, 20)) + (0 if dark else 160)
            image = Image.fromarray((grey * 257).astype(np.uint16))
            image.save(folder / f"{number} ü.png")
    run = small_search(tmp_path / "odd", tmp_path / "runs", budget=2, class_weights="balanced")
    assert run.info["data"]["channels"] == 1
    (one,) = predict(run.path, [tmp_path / "odd" / "hell 'x'" / "3 ü.png"])
    assert one.label in run.info["data"]["class_names"]
    assert json.loads((run.path / "report.json").read_text())


def test_a_search_is_whole_where_the_look_for_wrong_labels_fails(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(parts: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr("automl_img.search.finalists.suspected_labels", fail)
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    run = small_search(photos, tmp_path / "runs", listen, budget=1, max_epochs=1)
    assert run.info["status"] == "finished"
    assert run.model.exists()
    assert "nobody looked for wrong labels: no such thing" in said
