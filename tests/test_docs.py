"""What the documents say is there: names, commands, options, files, targets."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import automl_img
from automl_img.cli.main import app
from automl_img.errors import SpaceError
from automl_img.models.hyperparameters import declared
from automl_img.space.presets import build_space, read_preset

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PUBLIC = {
    *("AutomlImgError", "Run", "search", "resume", "load_run", "list_runs", "predict"),
    *("export_model", "write_report", "list_spaces", "load_space", "new_space", "plan"),
    *("doctor", "reproduce", "check_data", "preview_data", "submit_search", "submit_resume"),
    *("follow_job", "job_log", "list_jobs", "stop_job", "fetch_job"),
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands() -> dict[str, object]:
    """Every command by its words, groups left out."""
    found: dict[str, object] = {}

    def walk(command: object, words: str) -> None:
        below = getattr(command, "commands", {})
        for name, sub in below.items():
            walk(sub, f"{words} {name}".strip())
        if not below:
            found[words] = command

    walk(get_command(app), "")
    return found


def options(words: str) -> set[str]:
    command = commands()[words]
    return {name for parameter in command.params for name in parameter.opts}  # type: ignore[attr-defined]


def typed() -> list[str]:
    """Every line of the documents that calls the command line, comments cut off, lines joined."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
        # What follows -- is a command of its own.
        lines = "\n".join(blocks).replace("\\\n", " ").replace(" -- ", "\nautoml-img ").splitlines()
        found += [line.partition(" #")[0].strip() for line in lines]
    return [line for line in found if line.startswith("automl-img ")]


def test_the_public_names_are_these() -> None:
    assert set(automl_img.__all__) == PUBLIC
    for name in PUBLIC:
        assert inspect.getdoc(getattr(automl_img, name)), f"{name} has no docstring"


def test_the_readme_names_every_public_function() -> None:
    missing = {name for name in PUBLIC - {"AutomlImgError", "Run"} if name not in text("README.md")}
    assert missing == set()


def test_every_command_and_every_option_has_help() -> None:
    assert {"search", "predict", "spaces new"} < set(commands())
    for words, command in commands().items():
        assert command.help, words  # type: ignore[attr-defined]
        for parameter in command.params:  # type: ignore[attr-defined]
            assert parameter.help, f"{words}: {parameter.name}"


@pytest.mark.parametrize("words", commands())
def test_every_command_stands_in_the_reference(words: str) -> None:
    _, heading, section = text("docs/cli.md").partition(f"## automl-img {words}\n")
    assert heading, f"docs/cli.md has no section for {words}"
    section = section.partition("\n## ")[0]
    for parameter in commands()[words].params:  # type: ignore[attr-defined]
        shown = parameter.metavar or parameter.name.upper()
        name = parameter.opts[0] if parameter.opts[0].startswith("-") else shown
        assert re.search(rf"^- `{name}\b", section, re.M), name


def test_the_generated_parts_are_not_stale() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_hyperparameter_stands_in_the_reference() -> None:
    page = text("docs/space.md")
    assert [d.name for d in declared() if f"| `{d.name}` |" not in page] == []


def test_every_typed_command_exists_with_its_options() -> None:
    lines = typed()
    assert len(lines) >= 8
    for line in lines:
        words = [word for word in line.split()[1:] if not word.startswith("-")]
        known = [name for name in (" ".join(words[:2]), words[0]) if name in commands()]
        assert known, line
        used = set(re.findall(r"(?<!\S)--[a-z-]+", line))
        assert used <= options(known[0]), line


def test_every_typed_range_is_one_that_the_space_takes() -> None:
    pairs = [pair for line in typed() for pair in re.findall(r"--(search|fix) (\S+?)=(\S+)", line)]
    assert len(pairs) > 4
    preset = read_preset(ROOT / "search_spaces" / "everything.yaml")
    for option, key, value in pairs:
        asked = {key: value}
        if option == "search":
            space = build_space("everything", preset, declared(), asked, {})
            assert key in space.searched
        else:
            build_space("everything", preset, declared(), {}, asked)
    with pytest.raises(SpaceError, match=r"cnn\.depth"):
        build_space("everything", preset, declared(), {"cnn.dept": "1..2"}, {})


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.M))
    assert {"env", "demo", "test", "check", "bench", "docs", "lock", "clean"} <= targets
    pages = [*(page.read_text(encoding="utf-8") for page in PAGES), text(".ci/run")]
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z]+)", page, re.M)}
    assert {"demo", "test"} <= named
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in [
                re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings
            ]


def test_the_readme_opens_with_what_it_does_the_two_commands_and_the_report() -> None:
    page = text("README.md")
    marks = ["make demo", "make test", "docs/report.png", "automl-img search photos"]
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    assert places[0] < 600
    assert (ROOT / "docs" / "report.png").stat().st_size < 200_000


def test_every_file_that_a_run_leaves_is_explained() -> None:
    import automl_img.runs

    listed = re.findall(r"^  ([a-z_]+(?:\.[a-z]+|/))", automl_img.runs.__doc__ or "", re.M)
    assert "trials.jsonl" in listed
    page = text("docs/outputs.md")
    assert [name for name in listed if f"`{name}`" not in page] == []


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "search_folder.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    told = re.search(r"test accuracy ([\d.]+);", done.stdout)
    assert told is not None, done.stdout
    assert float(told[1]) >= 0.9
    assert (tmp_path / "runs").is_dir()
