"""Room on the disk: looked at before a run starts, and told of when a disk fills up under it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir

from automl_img.data.cache import cache_root
from automl_img.data.prepare import Prepared
from automl_img.errors import RunError
from automl_img.files import disk_is_full
from automl_img.runs import Run
from automl_img.search.resources import Resources
from automl_img.search.retention import MOST_KEPT
from automl_img.settings import SearchSettings

# The page with its figures, thumbnails, the study, and what is written meanwhile.
_PAGE = 20_000_000
# Of an image: its lines in split.csv, rows.npz and the predictions.
_AN_IMAGE = 400
# Of a network from scratch.
_SMALL_NETWORK = 4_000_000
# Copies of a network at the end of a run: its weights twice as it is retrained, two exports.
_AT_THE_END = 4
# Of a trial that runs: its checkpoint, with two slots of the optimizer, and while that is replaced.
_OF_A_WORKER = 6
# With so little left, a disk is full.
_FULL = 2_000_000


def needed_bytes(
    settings: SearchSettings,
    prepared: Prepared,
    weights: Mapping[tuple[str, str], str],
    resources: Resources,
) -> int:
    """About what a run takes on the disk at its end, caches aside.

    Args:
        weights: files of the pretrained networks in its space.
    """
    largest = max(map(_size, map(Path, weights.values())), default=_SMALL_NETWORK)
    copies = _AT_THE_END + _OF_A_WORKER * resources.workers
    kept = 4 * len(prepared.split.validation) * len(prepared.class_names)
    kept += largest if settings.keeps_weights else 0
    in_all = _PAGE + _AN_IMAGE * len(prepared.index) + largest * copies
    return in_all + min(MOST_KEPT * kept, settings.disk_bytes)


def missing_bytes(run: Run, needed: int) -> int:
    """What is still to come of the ``needed`` bytes of ``run``; its page at the least."""
    return max(_PAGE, needed - size_of(run.path))


def check_room(out: Path, needed: int) -> None:
    """
    Args:
        out: the folder of all runs, which need not exist.

    Raises:
        RunError: its disk has less than ``needed`` bytes left.
    """
    free = free_bytes(out)
    if free < needed:
        # There is the copy of a run at a URL.
        copied = out.absolute().is_relative_to(cache_root())
        other = "set AUTOML_IMG_CACHE to another disk" if copied else "choose another --out"
        raise RunError(
            f"a run like this needs about {_megabytes(needed)} of free disk, but there are "
            f"{_megabytes(free)} left for {out}; make room, or {other}"
        )


@contextmanager
def telling_of_full_disks(run: Run, needed: int) -> Iterator[None]:
    """
    Args:
        needed: bytes that the run takes in all.

    Raises:
        RunError: a disk has filled up under ``run``; it says which one, and how much is missing.
    """
    try:
        yield
    except Exception as error:
        if not disk_is_full(error):
            raise
        raise _disk_full(run, needed) from error


def _disk_full(run: Run, needed: int) -> RunError:
    places = {"the run": run.path, "the cache": cache_root(), "temporary files": Path(gettempdir())}
    full = [f"{what} ({where})" for what, where in places.items() if free_bytes(where) < _FULL]
    where = " and of ".join(full) or f"the run ({run.path}), or a share of it,"
    return RunError(
        f"the disk of {where} is full, and the run needs about "
        f"{_megabytes(missing_bytes(run, needed))} more; make room, "
        f"then automl-img resume {run.known_as} goes on: nothing that was trained is lost"
    )


def size_of(folder: Path) -> int:
    """Bytes of all files in ``folder``."""
    return sum(map(_size, folder.rglob("*")))


def free_bytes(folder: Path) -> int:
    """Bytes that are left on the disk of ``folder``, or of where it would be made."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _size(path: Path) -> int:
    """Of a file that may vanish."""
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
