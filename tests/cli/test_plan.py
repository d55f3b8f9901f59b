"""``automl-img plan`` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from automl_img.cli.main import app
from tests.cli.test_commands import automl_img


def test_a_plan_takes_what_a_search_takes() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    search, plan = (
        [(each.opts, each.help, each.default) for each in commands[name].params]
        for name in ("search", "plan")
    )
    assert plan == search
    assert len(plan) > 15


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nowhere"], 1, "nowhere"),
        (["digits", "--space", "cn"], 1, "did you mean 'cnn'"),
        (["digits", "--search", "cnn.filters"], 2, "KEY=VALUE"),
        (["digits", "--budget", "many"], 2, "must be trials (50)"),
        (["digits", "--image-size", "4"], 2, "greater than or equal to 8"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    done = automl_img("plan", *words, cwd=tmp_path)
    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_plan_takes_the_defaults_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "automl-img.toml").write_text('data = "my photos"\n[fix]\nbatch_size = 64\n')
    done = automl_img("plan", cwd=tmp_path)
    assert done.returncode == 1
    assert "data: my photos, from automl-img.toml" in done.stderr


@pytest.mark.slow
def test_a_plan_is_printed_and_nothing_is_started(tmp_path: Path, photos: Path) -> None:
    words = (photos, "--space", "cnn_small", "--budget", "6", "--max-epochs", "3")
    done = automl_img("plan", *words, "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Data:      photos, 48 train, 6 validation, 6 test images of")
    said = dict(line.split(":", 1) for line in lines[:6])
    assert "; started now, it ends at " in said["Duration"]
    assert said["Budget"].strip() == "6 trials, 1 worker"
    assert int(said["Trials"].split()[1]) <= 6
    rows = [line.split() for line in lines if line.split()[:1] == ["cnn"]]
    assert len(rows) == 1
    assert "GB" in rows[0]
    assert "retraining" in done.stdout
    assert "measuring" in done.stderr
    assert not (tmp_path / "runs").exists()
