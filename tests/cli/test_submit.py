"""What ``submit`` asks of the public functions; ``tests/jobs`` asks a real head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from automl_img import api
from automl_img.cli.main import app
from automl_img.errors import JobError
from automl_img.jobs.job import Job
from automl_img.runs import Run
from tests.report.golden import golden_run

JOB = Job("automl-img-1", "RUNNING", 1.0, None, "search digits", "mine", "/runs", "0.1.0", "")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What was asked for, in order."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def kept(name: str, answer: Any) -> None:
        def call(*words: Any, **options: Any) -> Any:
            calls.append((name, {**options, "words": words}))
            return answer() if callable(answer) else answer

        monkeypatch.setattr(api, name, call)

    def run() -> Run:
        made = golden_run(tmp_path / "fetched")
        api.write_report(made.path)
        return made

    for name in ("submit_search", "submit_resume"):
        kept(name, JOB)
    kept("follow_job", JOB)
    kept("fetch_job", run)
    monkeypatch.chdir(tmp_path)
    return calls


def submit(*words: str) -> Any:
    return CliRunner().invoke(app, ["submit", *words])


def test_a_search_is_followed_and_its_run_is_fetched(
    asked: list[tuple[str, dict[str, Any]]],
) -> None:
    done = submit("--address", "http://h:1", "--to", "mine", "--", "search", "digits")
    assert done.exit_code == 0, done.output
    assert [name for name, _ in asked] == ["submit_search", "follow_job", "fetch_job"]
    assert {options["address"] for _, options in asked} == {"http://h:1"}
    assert asked[-1][1]["out"] == Path("mine")
    assert done.stdout.startswith("Test accuracy")


def test_options_after_the_command_are_its_own_with_and_without_dashes(
    asked: list[tuple[str, dict[str, Any]]],
) -> None:
    Path("automl-img.toml").write_text("max_epochs = 7\n[fix]\nbatch_size = 64\n")
    typed = ["search", "digits", "--budget", "3", "--out", "/runs", "--fix", "cnn.depth=1"]
    for dashes in ([], ["--"]):
        assert submit("--no-fetch", *dashes, *typed).exit_code == 0
    first, second = (options for name, options in asked if name == "submit_search")
    assert {key: first[key] for key in first if key != "listener"} == {
        "address": None,
        "data": "digits",
        "budget": "3",
        "max_epochs": 7,
        "fix": {"batch_size": "64", "cnn.depth": "1"},
        "out": "/runs",
        "words": (),
    }
    assert second == first


def test_a_run_is_left_on_the_head_where_that_is_asked_for(
    asked: list[tuple[str, dict[str, Any]]],
) -> None:
    done = submit("--no-fetch", "--", "resume", "mine", "--budget", "+3")
    assert [name for name, _ in asked] == ["submit_resume", "follow_job"]
    assert asked[0][1]["words"] == ("mine",)
    assert asked[0][1]["budget"] == "+3"
    assert "automl-img jobs fetch automl-img-1" in done.stdout


def test_detached_it_says_the_name_of_the_job_and_nothing_else_to_stdout(
    asked: list[tuple[str, dict[str, Any]]],
) -> None:
    done = submit("--detach", "--", "search", "digits")
    assert done.stdout == "automl-img-1\n"
    assert [name for name, _ in asked] == ["submit_search"]


def test_of_a_job_that_failed_nothing_is_fetched(
    asked: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed(*_: Any, **__: Any) -> Job:
        raise JobError("the job failed")

    monkeypatch.setattr(api, "follow_job", failed)
    done = submit("--", "search", "digits")
    assert isinstance(done.exception, JobError)
    assert [name for name, _ in asked] == ["submit_search"]


def test_ctrl_c_says_how_to_come_back_to_that_head(
    asked: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Job:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "follow_job", interrupted)
    done = submit("--address", "http://h:1", "--", "search", "digits")
    assert done.exit_code == 130
    said = " ".join(done.stderr.split())
    assert "automl-img jobs logs automl-img-1 --address http://h:1" in said


def test_the_help_of_what_follows_can_be_had(asked: list[tuple[str, dict[str, Any]]]) -> None:
    done = submit("search", "--help")
    assert done.exit_code == 0
    assert "--max-epochs" in done.stdout
    assert asked == []
