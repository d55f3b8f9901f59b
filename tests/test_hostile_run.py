"""Run folders that somebody else made: they may say anything, and run nothing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_img import export_model, predict, reproduce, resume, write_report
from automl_img.errors import AutomlImgError, RunError
from automl_img.files import append_json_line
from automl_img.runs import Run
from automl_img.training import checkpoint
from automl_img.trials import TrialStart
from tests.pictures import class_folders
from tests.report.golden import golden_run
from tests.search.searches import small_search


class Bomb:
    """Makes a file as it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._target),)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """What is there only if something of the folder was run."""
    return tmp_path / "ran"


@pytest.fixture
def hostile(tmp_path: Path, target: Path) -> Run:
    """A run that looks finished, every file of which tries something."""
    run = golden_run(tmp_path, images=60)
    bomb = np.array([Bomb(target)], dtype=object)
    for path in [*run.path.glob("predictions/*.npz"), run.path / "rows.npz"]:
        np.savez(path, labels=bomb, probabilities=bomb, names=bomb, train=bomb)
    folder = run.trial_folder(0)
    folder.mkdir(parents=True)
    for name in (checkpoint.FILE, checkpoint.BEST, checkpoint.VALIDATION):
        np.savez(folder / name, results=bomb, epoch=bomb, probabilities=bomb, v0=bomb)
    call = f"!!python/object/apply:os.mkdir ['{target}']"
    (run.path / "space.yaml").write_text(f"fix:\n  backbone: {call}\n")
    (run.path / "study.db").write_bytes(pickle.dumps(Bomb(target)))
    info = run.info
    words = "<script>alert(1)</script>{{ 7 * 7 }}{% raw %}"
    info["settings"] = {"data": "../../..", "weights_dir": "/", "out": str(tmp_path)}
    info["data"]["source"] = info["command"] = words
    run.write_json("run.json", info)
    for name in ("start.json", "final.json", "winner.json", "ensemble.json"):
        run.write_json(name, {"number": 0, "points": words, "params": words, "members": words})
    append_json_line(run.path / "started.jsonl", {"number": 0, "params": {"backbone": words}})
    _hostile_model(run, target)
    return run


def _hostile_model(run: Run, target: Path) -> None:
    """A model with code in a layer, and a member that lies outside of the archive."""
    import keras

    inputs = keras.Input((8, 8, 3), dtype="uint8")
    outputs = keras.layers.Flatten()(keras.layers.Rescaling(1.0, name="rescaling")(inputs))
    keras.Model(inputs, outputs).save(run.model)
    with zipfile.ZipFile(run.model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    [rescaling] = [each for each in config["config"]["layers"] if each["name"] == "rescaling"]
    code = eval(f"lambda x: (__import__('os').mkdir({str(target)!r}), x)[1]")
    layer = keras.saving.serialize_keras_object(keras.layers.Lambda(code, name="rescaling"))
    rescaling.update({key: layer[key] for key in ("class_name", "config", "module")})
    members["config.json"] = json.dumps(config).encode()
    members["assets/../../../ran"] = b"outside"
    members["automl_img.json"] = json.dumps({"class_names": ["a", "b"]}).encode()
    with zipfile.ZipFile(run.model, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_report_on_it_runs_nothing(hostile: Run, target: Path) -> None:
    page = write_report(hostile.path).read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "49" not in page.partition("<title>")[2].partition("</title>")[0]
    assert not target.exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that can go on."""
    folder = tmp_path_factory.mktemp("sound")
    return small_search(class_folders(folder / "photos", per_class=20), folder / "runs")


def spoil(run: Run, name: str, target: Path) -> None:
    """Put into one file of ``run`` what its reader gets to see, if it lets the others pass."""
    path, words = run.path / name, f"!!python/object/apply:os.mkdir ['{target}']"
    bomb = np.array([Bomb(target)], dtype=object)
    last = run.trials()[-1]
    match name:
        case "rows.npz":
            np.savez(path, train=bomb, validation=bomb, labels=bomb)
        case "study.db":
            path.write_bytes(pickle.dumps(Bomb(target)))
        case "space.yaml":
            path.write_text(path.read_text() + f"\nmore: {words}\n")
        case "started.jsonl":
            # A trial that is to go on, from a checkpoint.
            start = TrialStart(last.number + 1, last.params, 0, "sampler", None, 0, last.ended)
            run.append_start(start)
            folder = run.trial_folder(last.number + 1)
            folder.mkdir(parents=True)
            np.savez(folder / checkpoint.FILE, results=bomb, v0=bomb)
        case "start.json":
            run.write_json(name, {"points": [{"backbone": words}], "probes": [words]})
        case _:
            run.write_json(name, {"number": words, "params": words, "trial": words})


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["rows.npz", "study.db", "space.yaml", "started.jsonl", "start.json", "final.json"],
)
def test_a_run_with_one_bad_file_goes_on_or_is_refused_and_runs_nothing(
    sound: Run, tmp_path: Path, target: Path, name: str
) -> None:
    copy = Run(tmp_path / "run")
    shutil.copytree(sound.path, copy.path)
    spoil(copy, name, target)
    refused = {"study.db": r"study.*file is not a database", "space.yaml": r"space\.yaml"}
    if name in refused:
        with pytest.raises(AutomlImgError, match=refused[name]):
            resume(copy.path, budget="+1")
    else:
        with suppress(AutomlImgError):
            resume(copy.path, budget="+1")
    assert not target.exists()


@pytest.mark.slow
def test_a_trial_is_reproduced_without_what_others_left(
    sound: Run, tmp_path: Path, target: Path
) -> None:
    copy = Run(tmp_path / "run")
    shutil.copytree(sound.path, copy.path)
    for name in ("rows.npz", "study.db", "started.jsonl", "start.json", "final.json"):
        spoil(copy, name, target)
    assert reproduce(copy.path, trial=0).record.number == 0
    spoil(copy, "space.yaml", target)
    with pytest.raises(AutomlImgError, match=r"space\.yaml"):
        reproduce(copy.path, trial=0)
    assert not target.exists()


def test_it_is_not_resumed_nor_reproduced(hostile: Run, target: Path) -> None:
    for go_on in (resume, reproduce):
        with pytest.raises(AutomlImgError):
            go_on(hostile.path)
    assert not target.exists()


@pytest.mark.parametrize(
    "name", ["thumbnails/000001.webp", "trials.jsonl", "errors.log", "ray", "trials", "winner"]
)
def test_a_link_in_it_leads_nowhere(tmp_path: Path, name: str) -> None:
    run = golden_run(tmp_path, images=60)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("of the reader")
    link = run.path / name
    link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)
    for use in (write_report, resume, reproduce):
        with pytest.raises(RunError, match="no links"):
            use(run.path)
    assert elsewhere.read_text() == "of the reader"


def test_its_model_is_neither_loaded_nor_does_it_leave_its_archive(
    hostile: Run, target: Path, tmp_path: Path, photos: Path
) -> None:
    exported = export_model(tmp_path / "copy.keras", hostile.path)
    for model in (hostile.path, exported):
        with pytest.raises(AutomlImgError, match="cannot be loaded"):
            predict(model, [photos])
    assert not target.exists()


def test_what_its_trials_left_is_not_unpickled(hostile: Run, target: Path) -> None:
    folder = hostile.trial_folder(0)
    assert checkpoint.saved_results(folder) == []
    for read in (checkpoint.validation_of, checkpoint.best_epoch):
        with pytest.raises(ValueError, match="allow_pickle"):
            read(folder)
    assert not target.exists()


def test_the_bombs_of_this_test_go_off(target: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(target)))
    assert target.exists()
