"""What a job runs: settings as words, files that are sent, and what is refused before that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from automl_img.cli.main import app
from automl_img.errors import AutomlImgError, DataError, RunError, SettingsError
from automl_img.jobs import start
from automl_img.jobs.command import Command, resume_command, search_command
from automl_img.settings import SearchSettings, check
from tests.pictures import class_folders

# Each setting with a value that is not its default.
ALL: dict[str, Any] = {
    "data": "s3://bucket/photos",
    "budget": "30m",
    "space": "cnn_small",
    "search": {"cnn.depth": "1..2", "batch_size": "32,64"},
    "fix": {"cnn.filters": "16"},
    "sampler": "random",
    "max_epochs": 3,
    "image_size": 32,
    "seed": 7,
    "workers": 2,
    "storage": "postgresql://db/studies",
    "join": "theirs",
    "gpus_per_trial": 0.5,
    "warm_start": ("one", "two"),
    "name": "mine",
    "out": "/shared/runs",
    "limit_per_class": 9,
    "keep_copies": True,
    "class_weights": "balanced",
    "objective": "val_accuracy,latency",
    "max_latency": "20ms",
    "max_size": "10MB",
    "max_params": "1M",
    "ensemble": 3,
    "trial_timeout": "5m",
    "stop_when_stale": True,
    "path_column": "a path",
    "label_column": "l",
    "label_separator": "|",
    "split_column": "s",
    "coarse_column": "c",
    "group_column": "g",
    "weights_dir": "/weights",
    "max_disk": "1GB",
    "feature_cache": "0",
}
# These two do not go together with label_column.
APART = {"label_columns", "address"}


def command(**asked: Any) -> Command:
    settings = check(asked)
    return search_command(settings, settings.model_dump(exclude_unset=True))


def parsed(words: tuple[str, ...]) -> dict[str, Any]:
    """What the command line of ``search`` makes of ``words``, without defaults."""
    searching = get_command(app).commands["search"]  # type: ignore[attr-defined]
    found = searching.make_context("search", list(words[1:])).params
    return {key: value for key, value in found.items() if value is not None}


def test_every_setting_reaches_the_head_as_it_was_asked_for() -> None:
    assert set(SearchSettings.model_fields) - APART == set(ALL)
    typed = parsed(command(**ALL).words)
    for key in ("search", "fix"):
        typed[key] = dict(item.split("=", 1) for item in typed[key])
    assert check(typed) == check(ALL)


def test_without_a_name_one_is_made_here_and_without_out_runs_outlive_the_job() -> None:
    made = command(data="https://host/my%20photos.zip")
    assert made.run.startswith("my-photos-2")
    assert made.out == "~/automl-img/runs"
    assert made.words[-2:] == ("--out", made.out)
    assert ("--name", made.run) == made.words[-4:-2]


def test_a_signed_url_is_shown_without_what_is_secret() -> None:
    made = command(data="https://host/photos.zip?signature=secret")
    assert "secret" in " ".join(made.words)
    assert "secret" not in " ".join(made.shown)


@pytest.mark.parametrize("data", ["digits", "tfds:food101", "/not/here", "gs://b/x.csv"])
def test_names_urls_and_paths_of_the_nodes_are_left_as_they_are(data: str) -> None:
    made = command(data=data)
    assert made.words[1] == data
    assert made.files == {}


def test_a_space_file_and_a_table_of_urls_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("search: {cnn.depth: 1..2}\n")
    Path("labels.csv").write_text("path,label\nhttps://host/1.png,a\n")
    made = command(data="labels.csv", space="mine.yaml")
    assert {path.name: made.files[name] for name, path in made.files.items()} == {
        "labels.csv": Path("labels.csv"),
        "mine.yaml": Path("mine.yaml"),
    }
    assert made.words[1] in made.files
    assert made.words[made.words.index("--space") + 1] in made.files


def test_a_preset_is_not_sent_as_it_is_in_the_wheel() -> None:
    assert command(data="digits", space="cnn_small").files == {}


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"data": "photos"}, DataError, "photos is on this machine; images are not sent"),
        ({"data": "table.csv"}, DataError, "must name its images by URLs"),
        ({"data": "photos.zip"}, DataError, "photos.zip is on this machine"),
        ({"data": "digitz"}, DataError, "did you mean 'digits'"),
        ({"out": "runs"}, SettingsError, "--out must be an absolute path"),
        ({"out": "https://host/runs"}, SettingsError, "a web server takes no files"),
        ({"out": "s3://me:word@b/runs"}, SettingsError, "without a user or password"),
        ({"weights_dir": "s3://b/weights"}, SettingsError, "--weights-dir must be an absolute"),
        ({"weights_dir": "weights"}, SettingsError, "--weights-dir must be an absolute path"),
        ({"warm_start": ("runs/one",)}, SettingsError, "--warm-start must be an absolute path"),
    ],
)
def test_what_is_on_this_machine_is_refused_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
    error: type[AutomlImgError],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "photos", per_class=1)
    Path("photos.zip").write_bytes(b"PK")
    Path("table.csv").write_text("path,label\nphotos/1.png,a\n")
    with pytest.raises(error, match=says):
        command(**asked)


def test_a_large_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_img.jobs.command._MAX_BYTES", 1_000_000)
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("path,label\n" + "https://host/1.png,a\n" * 60_000)
    with pytest.raises(DataError, match="at most 1 MB, but labels"):
        command(data="labels.csv")


def test_a_run_is_resumed_by_its_name_alone() -> None:
    made = resume_command("mine", None, {"budget": "+3", "workers": None})
    assert made.words == ("resume", "mine", "--budget", "+3", "--out", "~/automl-img/runs")
    for odd in ("../up", "/runs/mine", "", ".hidden"):
        with pytest.raises(SettingsError, match="the run must be a name"):
            resume_command(odd, None, {})


def test_a_run_at_a_url_is_begun_and_resumed_there() -> None:
    assert command(data="digits", out="gcs://b/runs/").out == "gs://b/runs"
    by_url = resume_command("s3://b/runs/mine", None, {})
    assert by_url == resume_command("mine", "s3://b/runs/", {})
    assert (by_url.run, by_url.words) == ("mine", ("resume", "mine", "--out", "s3://b/runs"))
    with pytest.raises(RunError, match="a run must be s3://BUCKET/FOLDER/NAME"):
        resume_command("s3://b", None, {})
    with pytest.raises(SettingsError, match=r"needs no --out, but got 'runs'"):
        resume_command("s3://b/runs/mine", "runs", {})


def test_on_the_head_a_file_that_was_sent_gets_a_copy_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, job = tmp_path / "home", tmp_path / "job"
    (job / "files" / "0").mkdir(parents=True)
    home.mkdir()
    (job / "files" / "0" / "labels.csv").write_text("path,label\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(job)
    became: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda path, words: became.append(words))
    words = ["search", "files/0/labels.csv", "--out", "~/automl-img/runs", "--name", "files"]
    for _ in range(2):
        start.main(words)
        (said,) = {tuple(each) for each in became}
    kept = Path(said[5])
    assert said[1:5] == ("-P", "-m", "automl_img", "search")
    assert kept.is_relative_to(home)
    assert kept.name == "labels.csv"
    assert kept.read_text() == "path,label\n"
    assert said[6:] == ("--out", f"{home}/automl-img/runs", "--name", "files")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["predict", "x", "y"], 2, "a cluster runs search and resume, but got 'predict'"),
        (["search", "digits", "--no-such-option"], 2, "No such option: --no-such-option"),
        (["search", "digits", "--budget", "many"], 2, "above 0, but got 'many'"),
        (["search", "digits", "--space", "cn"], 1, "did you mean 'cnn'"),
        (["search", "digits", "--search", "cnn.filtres=8..16"], 1, "did you mean 'cnn.filters'"),
        (["resume"], 2, "Missing argument 'run'"),
        (["search", "photos"], 1, "photos is neither here nor a name that is known"),
    ],
)
def test_a_wrong_command_is_found_here_and_nothing_is_sent(
    tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    # Nobody listens at this address, and it would be another sentence.
    submit = ["submit", "--address", "http://127.0.0.1:9", "--", *words]
    done = subprocess.run(
        [sys.executable, "-m", "automl_img", *submit],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == code
    assert "Traceback" not in done.stderr
