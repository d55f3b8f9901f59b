"""The files of a run folder that changed, as they were at one time after the other.

A run is gone on with from whatever is at its URL, so at each instant that must be what a kill could
have left here: no file may be there without what it refers to. Files are uploaded in the order of
``_ORDER``, what is referred to first, and are captured here in the reverse order, so that what
refers is never newer than what it refers to:

- inputs before all else, ``started.jsonl`` before the checkpoints of trials that it names;
- checkpoints before ``trials.jsonl``, which may tell of a trial that goes on from one;
- the study between them: it may know of a trial that is trained again, as its record has not come,
  but a trial that it does not know would teach the sampler nothing;
- ``trials.jsonl`` before what is made of the winner, that before ``final.json``, which says which
  steps are done; ``run.json`` last.

What is gone here is removed there at the end of a round, if it was gone before anything was
captured.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from automl_img.mirror.manifest import DRIVER, MANIFEST, Entry, Signature
from automl_img.runs import RAY

# Of which trial the files beside it are, see ``automl_img.search.final``.
WHOSE = "winner/trial.json"
_WINNER = "winner/"
_STUDY = "study.db"
_INPUTS = (
    "space.yaml",
    "split.csv",
    "left_out.jsonl",
    "rows.npz",
    "probe_rows.npz",
    "start.json",
)
_REPORTS = {"report.html", "report.json"}
_PRODUCTS = 6
_ORDER = (
    _INPUTS,
    ("started.jsonl",),
    ("trials/", _WINNER),
    (WHOSE,),
    (_STUDY,),
    ("trials.jsonl",),
    (),  # _PRODUCTS: all that has no place of its own
    ("final.json",),
    ("run.json",),
)


@dataclass(frozen=True)
class Captured:
    """A file as it was.

    Attributes:
        name: its path in the run folder.
        path: of its content, which changes no more.
        signature: of the file as it was captured.
    """

    name: str
    path: Path
    entry: Entry
    signature: Signature


def files_of(run: Path) -> dict[str, Path]:
    """Every file of a run that counts, by its path in the folder: no lock, no temporary file, none
    that is hidden, nothing of Ray's, and no link."""
    found = {}
    for folder, folders, names in os.walk(run):
        inside = Path(folder).relative_to(run)
        top = folder == str(run)
        folders[:] = [name for name in folders if name[0] != "." and not (top and name == RAY)]
        for name in names:
            path = Path(folder, name)
            own = name.startswith(("study.db-", MANIFEST, DRIVER)) and top
            if name[0] != "." and not own and not path.is_symlink():
                found[(inside / name).as_posix()] = path
    return found


def signature_of(path: Path) -> Signature | None:
    """Changes with the file; None where it is gone."""
    parts = [path]
    if path.name == _STUDY:
        # What is written comes into this file first.
        parts.append(path.with_name(f"{_STUDY}-wal"))
    found: list[int] = []
    for part in parts:
        try:
            told = part.stat()
        except OSError:
            if part is path:
                return None
            found += [0, 0, 0]
        else:
            found += [told.st_size, told.st_mtime_ns, told.st_ino]
    return tuple(found)


def capture(run: Path, known: dict[str, Signature], staging: Path) -> list[list[Captured]]:
    """What differs from ``known``, in the order of uploading; what stands in one list may be
    uploaded at once.

    Args:
        staging: an empty folder on the same disk.
    """
    found: list[list[Captured]] = []
    whose = signature_of(run / WHOSE)
    for place in reversed(range(len(_ORDER))):
        changed = [
            _capture(name, path, staging)
            for name, path in files_of(run).items()
            if _place(name) == place and signature_of(path) != known.get(name)
        ]
        found.insert(0, [each for each in changed if each is not None])
    if signature_of(run / WHOSE) != whose:
        # The retraining of another trial began meanwhile; its turn comes next time.
        found = [[each for each in files if not is_of_winner(each.name)] for files in found]
    return found


def is_of_winner(name: str) -> bool:
    """Whether the file is one of the retraining, which another file says the trial of."""
    return name.startswith(_WINNER)


def _place(name: str) -> int:
    for place, names in reversed(tuple(enumerate(_ORDER))):
        if name in names or any(each[-1] == "/" and name.startswith(each) for each in names):
            return place
    return _PRODUCTS


def _capture(name: str, path: Path, staging: Path) -> Captured | None:
    """None where it has gone meanwhile, or cannot be read."""
    target = staging / name
    target.parent.mkdir(parents=True, exist_ok=True)
    before = signature_of(path)
    if before is None:
        return None
    try:
        if name == _STUDY:
            _copy_study(path, target)
        elif name.endswith((".jsonl", ".log")):
            _copy_lines(path, target)
        else:
            _link(path, target)
            # Another may have taken its place since.
            before = signature_of(target) or before
    except (FileNotFoundError, sqlite3.DatabaseError):
        return None
    modified = max(before[1::3])
    return Captured(name, target, Entry(target.stat().st_size, modified), before)


def _copy_study(path: Path, target: Path) -> None:
    """A consistent copy. The file is opened by SQLite alone: whoever else closes it in the process
    of the search would drop the locks of that."""
    with (
        closing(sqlite3.connect(path, timeout=60)) as source,
        closing(sqlite3.connect(target)) as to,
    ):
        source.backup(to)


def _copy_lines(path: Path, target: Path) -> None:
    """Whole lines alone: the last one may be half written."""
    content = path.read_bytes()
    target.write_bytes(content[: content.rfind(b"\n") + 1])


def _link(path: Path, target: Path) -> None:
    """A second name, which costs nothing: such files are replaced and never changed."""
    try:
        os.link(path, target)
    except FileNotFoundError:
        raise
    except OSError:
        # Not every file system has links.
        shutil.copy2(path, target)


def changed_since(run: Path, known: dict[str, Signature]) -> bool:
    """Whether a run folder is not as it was, reports aside, which are always written anew."""
    here = {name: signature_of(path) for name, path in files_of(run).items()}
    names = here.keys() | known.keys()
    return any(here.get(name) != known.get(name) for name in names - _REPORTS)
