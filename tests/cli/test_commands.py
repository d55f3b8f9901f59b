"""The command line as a user runs it: a process, its two streams, its exit code."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from automl_img.cli.output import say_row
from tests.pictures import class_folders
from tests.report.golden import golden_run


def automl_img(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "automl_img", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["search", "nowhere"], 1, "nowhere"),
        (["search", "digitz"], 1, "did you mean 'digits'"),
        (["search", "digits", "--space", "cn"], 1, "did you mean 'cnn'"),
        (["search", "digits", "--search", "cnn.filtres=8..16"], 1, "did you mean 'cnn.filters'"),
        (["search", "digits", "--search", "cnn.filters=8..999"], 1, "8..128"),
        (["search", "digits", "--search", "cnn.filters"], 2, "KEY=VALUE"),
        (["search", "digits", "--fix", "vgg16.frozen_layers=4"], 1, "counts only where"),
        (["search", "digits", "--budget", "0"], 2, "must be trials (50), a time (2h"),
        (["search", "digits", "--budget", "many"], 2, "above 0, but got 'many'"),
        (["search", "digits", "--sampler", "magic"], 2, "'tpe', 'random' or 'grid'"),
        (["search", "digits", "--name", "../up"], 2, "plain file name"),
        (["search", "digits", "--gpus-per-trial", "99"], 2, "at most the GPUs"),
        (["search", "digits", "--feature-cache", "lots"], 2, "an amount such as 20GB"),
        (["search", "digits", "--no-such-option"], 2, "No such option"),
        (["resume"], 1, "there is no run in runs"),
        (["resume", "nothing"], 1, "there is no run 'nothing'"),
        (["report"], 1, "there is no run in runs"),
        (["report", "nothing"], 1, "there is no run 'nothing'"),
        (["export", "--to", "m.keras"], 1, "there is no run"),
        (["predict", "nothing", "x.png"], 1, "there is no run 'nothing'"),
        (["data", "check", "nowhere"], 1, "nowhere"),
        (["data", "check", "digits", "--limit-per-class", "0"], 2, "limit-per-class"),
        (["spaces", "show", "cn"], 1, "did you mean 'cnn'"),
        (["spaces", "validate", "missing.yaml"], 1, "missing.yaml"),
    ],
)
def test_bad_input_is_one_sentence_and_never_a_traceback(
    tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    done = automl_img(*words, cwd=tmp_path)
    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_the_help_names_every_command_and_option_with_what_it_does(tmp_path: Path) -> None:
    said = " ".join(automl_img("--help", cwd=tmp_path).stdout.replace("│", " ").split())
    assert "automl_img [OPTIONS] COMMAND [ARGS]..." in said
    for words in (
        "--version Say the version.",
        "search Search for the best classifier of DATA, retrain it, test it once, export it and",
        "runs List the runs: when, on what data, how good by the score that decided.",
        "spaces Look at search spaces, check them, write new ones.",
    ):
        assert words in said
    without = automl_img(cwd=tmp_path)
    assert " ".join(without.stdout.replace("│", " ").split()) == said


@pytest.mark.parametrize(
    ("words", "slow"),
    [
        (["--help"], ("numpy", "pydantic", "markdown_it", "pygments")),
        (["runs"], ("numpy", "yaml", "markdown_it", "pygments")),
    ],
)
def test_what_says_little_imports_little(
    tmp_path: Path, words: list[str], slow: tuple[str, ...]
) -> None:
    golden_run(tmp_path / "runs")
    code = (
        "import contextlib, sys; from automl_img.cli.main import app\n"
        f"with contextlib.suppress(SystemExit): app({words!r})\n"
        f"sys.exit(', '.join(name for name in {slow!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout
    assert done.returncode == 0, done.stderr


def test_a_new_space_is_valid_and_is_never_written_over(tmp_path: Path) -> None:
    assert automl_img("spaces", "new", "mine.yaml", cwd=tmp_path).returncode == 0
    written = (tmp_path / "mine.yaml").read_text()
    valid = automl_img("spaces", "validate", "mine.yaml", cwd=tmp_path)
    assert "mine.yaml is valid: 2 hyperparameters" in valid.stdout
    again = automl_img("spaces", "new", "mine.yaml", cwd=tmp_path)
    assert again.returncode == 1
    assert (tmp_path / "mine.yaml").read_text() == written


def test_spaces_list_names_every_preset(tmp_path: Path) -> None:
    listed = automl_img("spaces", "list", cwd=tmp_path).stdout
    assert all(name in listed for name in ("cnn", "cnn_small", "everything", "pretrained"))


def test_spaces_show_gives_ranges_and_conditions(tmp_path: Path) -> None:
    shown = automl_img("spaces", "show", "pretrained", cwd=tmp_path).stdout
    assert "optimizer.learning_rate" in shown
    assert "backbone is vgg19" in shown


def test_without_data_the_defaults_of_the_folder_are_taken_and_said(tmp_path: Path) -> None:
    (tmp_path / "automl-img.toml").write_text('data = "my photos"\nbudget = 3\n')
    done = automl_img("search", cwd=tmp_path)
    assert done.returncode == 1
    assert "data: my photos, from automl-img.toml" in done.stderr


def test_what_is_typed_is_added_to_what_the_folder_fixes(tmp_path: Path) -> None:
    (tmp_path / "automl-img.toml").write_text("[fix]\nbatch_size = 64\ncnn.depth = 9\n")
    done = automl_img("search", "digits", "--fix", "cnn.filters=16", cwd=tmp_path)
    assert done.returncode == 1
    assert "cnn.depth must be a whole number in 1..5, but got '9'" in done.stderr


def test_a_missing_model_file_is_not_taken_for_a_run(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    done = automl_img("predict", "missing.keras", "x.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no model missing.keras" in done.stderr


@pytest.mark.parametrize("content", ["data = [", "budgt = 3"])
def test_a_defaults_file_that_is_wrong_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "automl-img.toml").write_text(content)
    done = automl_img("search", "nowhere", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--help"], "Usage"),
        (["runs"], "golden"),
        (["spaces", "list"], "cnn"),
        (["spaces", "show", "cnn"], "cnn.filters"),
        (["report"], "report.html"),
        (["data", "check", "digits"], "1,797 images"),
    ],
)
def test_what_trains_nothing_waits_for_neither_tensorflow_nor_ray(
    tmp_path: Path, words: list[str], says: str
) -> None:
    run = golden_run(tmp_path / "runs")
    code = (
        f"import sys; sys.argv = {['automl-img', *words]!r}\n"
        "from automl_img.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert done.code in (0, None)\n"
        "assert not {'tensorflow', 'keras', 'ray'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert run.report.exists() == (words == ["report"])


def test_runs_are_listed_with_the_score_that_decided(tmp_path: Path) -> None:
    accuracy = golden_run(tmp_path / "runs", name="accuracy")
    several = golden_run(tmp_path / "runs", name="several")
    several.update_info(search={**several.info["search"], "objectives": ["val_map", "latency"]})
    best = max(several.trials(), key=lambda trial: trial.best.val_accuracy if trial.best else 0)
    assert best.best is not None
    epoch = dataclasses.replace(best.best, epoch=len(best.epochs) + 1, score=0.98765)
    several.append_trial(dataclasses.replace(best, epochs=(*best.epochs, epoch)))
    test = several.read_json("test.json") or {}
    several.write_json("test.json", {**test, "mean_average_precision": 0.4321})
    loss = golden_run(tmp_path / "runs", name="loss")
    loss.update_info(search={**loss.info["search"], "objectives": ["val_loss"]})
    loss.write_json("test.json", {**test, "log_loss": 6.0, "multi_label": True})
    done = automl_img("runs", cwd=tmp_path)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert " score " in lines["run"]
    assert re.search(r" map +0\.988 +0\.432 ", lines["several"])
    own = (accuracy.read_json("test.json") or {})["accuracy"]
    assert re.search(rf" accuracy +0\.\d+ +{own:.3f} ", lines["accuracy"])
    # Three classes.
    assert re.search(r" loss +0\.\d+ +0\.135 ", lines["loss"])


def test_a_search_with_a_taken_name_leaves_the_run_alone(tmp_path: Path) -> None:
    run = golden_run(tmp_path / "runs", name="taken")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in run.path.rglob("*"))
    done = automl_img("search", "digits", "--name", "taken", cwd=tmp_path)
    assert done.returncode == 1
    assert "'taken' exists already" in done.stderr
    assert sorted((path.name, path.stat().st_mtime_ns) for path in run.path.rglob("*")) == before


def test_a_data_check_names_what_it_finds_as_text_and_as_json(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", per_class=12)
    shutil.copy(photos / "red" / "000.png", photos / "blue" / "again.png")
    done = automl_img("data", "check", "photos", cwd=tmp_path)
    assert done.returncode == 0
    assert "37 images" in done.stdout
    assert "warning: 1 group of copies has different labels" in done.stdout
    found = json.loads(automl_img("data", "check", "photos", "--json", cwd=tmp_path).stdout)
    [conflict] = [each for each in found["findings"] if each["kind"] == "conflicting labels"]
    assert conflict["images"] == [["blue/again.png", "red/000.png"]]
    assert sum(sum(counts.values()) for counts in found["counts"].values()) == 37


def test_a_data_check_counts_coarser_classes_and_has_no_parts_of_one_class(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", per_class=12)
    kinds = {"red": "warm", "green": "cold", "blue": "cold"}
    rows = [
        f"{path},{path.parent.name},{kinds[path.parent.name]}" for path in photos.rglob("*.png")
    ]
    (tmp_path / "all.csv").write_text("\n".join(["path,label,kind", *rows]))
    done = automl_img("data", "check", "all.csv", "--coarse-column", "kind", cwd=tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    where = lines.index(["coarser", "class", "train", "validation", "test"])
    cold, warm, every = lines[where + 1 : where + 4]
    assert (cold[0], warm[0], every[0]) == ("cold", "warm", "all")
    assert (sum(map(int, cold[1:])), sum(map(int, warm[1:]))) == (24, 12)
    (tmp_path / "one.csv").write_text("\n".join(["path,label", *(r for r in rows if ",red" in r)]))
    said = automl_img("data", "check", "one.csv", cwd=tmp_path).stdout
    assert "Parts:     none, as a search cannot begin on these images" in said
    assert "validation" not in said
    assert re.search(r"^ *all +12 *$", said, re.MULTILINE)


def test_a_row_has_tabs_and_nothing_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_row("a [b]\x1b.png", "cat|dog", "0.912|0.700")
    assert capsys.readouterr().out == "a [b]\\x1b.png\tcat|dog\t0.912|0.700\n"
