"""The wheel that is sent: exactly the code that runs here."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.utils import parse_wheel_filename

import automl_img
from automl_img.jobs.package import build_wheel

ROOT = Path(__file__).parent.parent.parent


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def expected() -> dict[str, bytes]:
    """Of the checkout, by the names in a wheel."""
    found = {}
    for folder, inside in (
        ("automl_img", ""),
        ("search_spaces", "automl_img/"),
        ("reports", "automl_img/"),
    ):
        for path in (ROOT / folder).rglob("*"):
            hidden = any(
                part.startswith(".") or part == "__pycache__"
                for part in path.parts[len(ROOT.parts) :]
            )
            if path.is_file() and not hidden:
                found[f"{inside}{path.relative_to(ROOT).as_posix()}"] = path.read_bytes()
    return found


def test_the_wheel_of_a_checkout_holds_its_code_with_presets_and_template(tmp_path: Path) -> None:
    held = content(build_wheel(tmp_path))
    code = {name: data for name, data in held.items() if ".dist-info/" not in name}
    assert {"automl_img/search_spaces/cnn.yaml", "automl_img/reports/report.html.j2"} < set(code)
    assert "automl_img/jobs/start.py" in code
    assert code == expected()


def test_its_record_has_the_digest_of_each_file(tmp_path: Path) -> None:
    held = content(build_wheel(tmp_path))
    (record,) = (data.decode() for name, data in held.items() if name.endswith("/RECORD"))
    listed = dict(line.split(",", 1) for line in record.splitlines())
    assert set(listed) == set(held)
    for name, data in held.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        told = f"sha256={digest},{len(data)}"
        assert listed[name] == ("," if name.endswith("/RECORD") else told)


def test_the_same_code_gives_the_same_bytes_and_other_code_another_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = build_wheel(tmp_path / "a"), build_wheel(tmp_path / "b")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()
    changed = Path(built_from_a_copy(tmp_path / "c", "# changed\n"))
    # Ray takes wheels of one name for the same, and would run the code that it has.
    assert changed.name != first.name
    assert parse_wheel_filename(changed.name)[:2] == parse_wheel_filename(first.name)[:2]


def test_it_names_no_dependency_as_each_node_would_download_them(tmp_path: Path) -> None:
    held = content(build_wheel(tmp_path))
    (metadata,) = (data.decode() for name, data in held.items() if name.endswith("/METADATA"))
    assert f"Version: {automl_img.__version__}\n" in metadata
    assert "Requires-Python:" in metadata
    assert "Requires-Dist" not in metadata
    (commands,) = (data for name, data in held.items() if name.endswith("/entry_points.txt"))
    assert b"automl-img = automl_img.cli.main:main" in commands


def test_pip_installs_it_and_from_there_it_gives_the_same_wheel_again(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    site = tmp_path / "site"
    # As Ray does it, but without a look at the network.
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--target",
        str(site),
    ]
    subprocess.run([*install, str(wheel)], check=True, timeout=120)
    assert (site / "automl_img" / "reports" / "report.html.j2").exists()
    again = tmp_path / "again"
    again.mkdir()
    assert content(Path(build_in(site, again))) == content(wheel)


def built_from_a_copy(folder: Path, more: str) -> str:
    """The wheel of a copy of the code with ``more`` at the end of a file."""
    for name in ("automl_img", "search_spaces", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "automl_img" / "shipped.py").open("a") as stream:
        stream.write(more)
    out = folder / "out"
    out.mkdir()
    return build_in(folder, out)


def build_in(site: Path, out: Path) -> str:
    """The wheel that the code in ``site`` builds."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from pathlib import Path; from automl_img.jobs.package import build_wheel\n"
        f"print(build_wheel(Path({str(out)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()
