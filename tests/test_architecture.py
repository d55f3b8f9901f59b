"""The house and its rules: who imports whom, how large files are, what starts without what."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
# Keras runs on one of these where KERAS_BACKEND says so, and whoever says so has installed it; they
# are imported in that case alone.
OTHER_BACKENDS = {"jax", "torch"}
HEAVY = ("tensorflow", "keras", "ray", "optuna", "plotly")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = PROJECT["dependencies"]
# What an extra brings; whoever imports it can do without.
EXTRAS = [
    line
    for name, lines in PROJECT["optional-dependencies"].items()
    if name != "dev"
    for line in lines
]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("automl_img", include_external_packages=True, cache_dir=None)


def test_imports_go_down_only_and_each_library_keeps_its_room() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_each_library_has_a_contract() -> None:
    # Else a new dependency would be free to spread.
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    held = {
        name
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract.get("allow_indirect_imports")
        for name in contract["forbidden_modules"]
    }
    assert modules_of([*RUNTIME, *EXTRAS]) - held == {"numpy", "six"}


def test_what_is_imported_is_declared(graph: grimp.ImportGraph) -> None:
    outside = {name for name in graph.modules if not name.startswith("automl_img")}
    undeclared = outside - sys.stdlib_module_names - modules_of([*RUNTIME, *EXTRAS])
    assert undeclared == OTHER_BACKENDS
    for backend in OTHER_BACKENDS:
        assert graph.find_modules_that_directly_import(backend) == {
            "automl_img.models.device",
            "automl_img.training.peak",
        }


def test_each_dependency_says_who_uses_it_and_that_is_true(graph: grimp.ImportGraph) -> None:
    extras = [f"{name} = [" for name in PROJECT["optional-dependencies"] if name != "dev"]
    for line, comment in (
        each for start in ("dependencies = [", *extras) for each in dependency_lines(start)
    ):
        (module,) = modules_of([line]) & set(top_modules(line))
        users = graph.find_modules_that_directly_import(module) if module in graph.modules else ()
        files = {path_of(user) for user in users}
        if comment.startswith("everywhere"):
            continue
        named = re.findall(r"[a-z_]+(?:/[a-z_]+)*(?:\.py|/)", comment)
        if comment.startswith("nowhere"):
            assert not files, line
            continue
        assert named, f"{line}: name the files that use it"
        for name in named:
            assert any(file.startswith(name) for file in files), f"{line}: {name} does not use it"
        strangers = {file for file in files if not file.startswith(tuple(named))}
        assert not strangers, f"{line}: its comment leaves out {strangers}"


def test_each_development_dependency_has_its_reason() -> None:
    lines = dependency_lines("dev = [")
    assert len(lines) > 5
    assert all(comment for _, comment in lines)


def test_no_file_is_longer_than_300_lines() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("automl_img", "docs", "examples", "search_spaces", "reports")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".css", ".js", ".j2")
    }
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_help_loads_nothing_heavy() -> None:
    code = """
import contextlib, io, json, sys
from typer.main import get_command
from automl_img.cli.main import app
found = {}
def names(command, words):
    yield words
    for name, sub in getattr(command, "commands", {}).items():
        yield from names(sub, f"{words} {name}".strip())
for words in names(get_command(app), ""):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        app([*words.split(), "--help"], prog_name="automl-img")
    found[words] = [said.getvalue(), sorted(sys.modules)]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert {"", "search", "predict", "spaces new"} < set(found)
    for words, (said, modules) in found.items():
        assert f"Usage: automl-img {words}".strip() in " ".join(said.split()), words
        assert set(modules) & set(HEAVY) == set(), words


def test_the_package_itself_loads_nothing_heavy() -> None:
    code = "import automl_img, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "automl_img" in done.stdout.split()
    assert set(done.stdout.split()) & {*HEAVY, "numpy", "typer"} == set()


def dependency_lines(start: str) -> list[tuple[str, str]]:
    """(requirement, comment) of each line of the list that begins with ``start``."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    inside = lines[lines.index(start) + 1 :]
    inside = inside[: inside.index("]")]
    found = []
    for line in inside:
        requirement, _, comment = line.partition("#")
        found.append((requirement.strip().strip('",'), comment.strip()))
    return found


def top_modules(requirement: str) -> list[str]:
    """The modules that the distribution of ``requirement`` installs."""
    wanted = re.split(r"[\[<>=,; ]", requirement)[0].lower().replace("_", "-")
    return [
        module
        for module, distributions in installed().items()
        if wanted in [name.lower().replace("_", "-") for name in distributions]
    ]


@functools.cache
def installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def modules_of(requirements: list[str]) -> set[str]:
    """Their modules that code would import: no private ones, no data folders."""
    extra = {"benchmarks", "tests", "doc", "docs", "examples"}
    named = {module for line in requirements for module in top_modules(line)}
    return {name for name in named if name.isidentifier() and not name.startswith("_")} - extra


def path_of(module: str) -> str:
    """``automl_img.data.cache`` as ``data/cache.py``; a package as its folder."""
    inside = module.split(".")[1:]
    path = ROOT.joinpath("automl_img", *inside)
    return "/".join(inside) + ("/" if path.is_dir() else ".py")
