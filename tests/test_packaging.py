"""What is shipped: built as it would be for users, and used from there."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow
SHIPPED = {
    f"{folder}/{path.name}"
    for folder in ("search_spaces", "reports")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and not path.name.startswith(".")
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built out of it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_there_is_something_to_ship() -> None:
    assert {"search_spaces/cnn.yaml", "reports/report.html.j2", "reports/report.js"} < SHIPPED


def test_the_wheel_holds_presets_and_template_inside_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"automl_img/{name}" for name in SHIPPED} <= names
    assert {"automl_img/__init__.py", "automl_img/models/backbones/cnn.py"} <= names
    assert {name for name in names if name.startswith(("tests/", "search_spaces/"))} == set()


def test_the_wheel_names_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            name.rpartition("/")[2]: archive.read(name).decode("utf-8")
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    assert "Apache License" in texts["LICENSE"]
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    assert "Requires-Python: <3.14,>=3.11" in texts["METADATA"]
    assert "automl-img = automl_img.cli.main:main" in texts["entry_points.txt"]


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_runs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert SHIPPED | {"pyproject.toml", "LICENSE", "README.md"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert tops & {"runs", ".venv", ".git", "dist"} == set()


def test_an_installed_wheel_finds_what_it_ships(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(wheel)], check=True)
    code = """
import sys
# The editable install makes the checkout an entry of the path; only the wheel may be found.
target, checkout = sys.argv[1:]
sys.path = [target, *(entry for entry in sys.path if entry not in ("", checkout))]
from automl_img import list_spaces
from automl_img.shipped import shipped
print(shipped("search_spaces"), shipped("reports"), *[space.name for space in list_spaces()])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(target), str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    spaces, reports, *presets = done.stdout.split()
    assert Path(spaces) == target / "automl_img" / "search_spaces"
    assert Path(reports) == target / "automl_img" / "reports"
    shipped = {Path(name).stem for name in SHIPPED if name.endswith(".yaml")}
    assert presets == sorted(shipped - {"portfolio"})
