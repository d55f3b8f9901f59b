"""The code that runs here as a wheel, from a checkout and from an installed wheel alike.

Ray installs the wheels of ``py_modules`` with ``pip install --target`` on each node, with whatever
they depend on. So this one names no dependency: the nodes have them, and TensorFlow would come anew
to each of them. And Ray takes wheels of one name for the same, so the name holds a digest.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import automl_img
from automl_img.shipped import shipped

_NAME = "automl-img"
_BESIDE = ("search_spaces", "reports")
# What pip would follow, or look for beside.
_DROPPED = ("requires-dist:", "provides-extra:", "license-file:")
# The oldest time that a zip file can hold.
_TIME = (1980, 1, 1, 0, 0, 0)
_ENTRY_POINTS = "[console_scripts]\nautoml-img = automl_img.cli.main:main\n"


def build_wheel(folder: Path) -> Path:
    """Write the wheel into ``folder``; the same code gives the same bytes.

    Returns:
        The file. Its build tag is a digest of what it holds.
    """
    version = automl_img.__version__
    info = f"automl_img-{version}.dist-info"
    content = dict(_code())
    content[f"{info}/METADATA"] = _metadata(version).encode()
    content[f"{info}/entry_points.txt"] = _entry_points().encode()
    # A build tag begins with a digit.
    build = f"0{_digest(content)}"
    content[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: automl-img\nRoot-Is-Purelib: true\n"
        f"Tag: py3-none-any\nBuild: {build}\n"
    ).encode()
    content[f"{info}/RECORD"] = _record(content, f"{info}/RECORD").encode()
    path = folder / f"automl_img-{version}-{build}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return path


def _code() -> Iterator[tuple[str, bytes]]:
    """Name in the wheel and content of each file of the package, in the order of the names."""
    package = Path(automl_img.__file__).parent
    found = {f"automl_img/{name}": path for name, path in _files(package)}
    for beside in _BESIDE:
        found |= {f"automl_img/{beside}/{name}": path for name, path in _files(shipped(beside))}
    for name in sorted(found):
        yield name, found[name].read_bytes()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        kept = not any(part.startswith(".") or part == "__pycache__" for part in parts)
        if kept and path.is_file() and path.suffix != ".pyc":
            yield "/".join(parts), path


def _metadata(version: str) -> str:
    """The metadata of the installed package without what it depends on."""
    found = _installed()
    text = (found and found.read_text("METADATA")) or ""
    head, blank, body = text.partition("\n\n")
    lines = [line for line in head.splitlines() if not line.lower().startswith(_DROPPED)]
    if not lines or f"Version: {version}" not in lines:
        lines = ["Metadata-Version: 2.1", f"Name: {_NAME}", f"Version: {version}"]
    return "\n".join(lines) + "\n" + (blank and f"\n{body}")


def _entry_points() -> str:
    found = _installed()
    return (found and found.read_text("entry_points.txt")) or _ENTRY_POINTS


def _installed() -> Distribution | None:
    try:
        return distribution(_NAME)
    except PackageNotFoundError:
        # Run from a checkout that is on the path alone.
        return None


def _digest(content: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in content.items():
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _record(content: dict[str, bytes], itself: str) -> str:
    lines = []
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*lines, f"{itself},,\n"])
