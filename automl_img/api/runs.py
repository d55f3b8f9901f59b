"""Runs that there are, and what comes of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.errors import DataError, RunError
from automl_img.runs import Run, all_runs, find_run, refuse_links

if TYPE_CHECKING:
    from automl_img.export.predict import Prediction
    from automl_img.report.verdict import Verdict

RUNS = Path("runs")


def verdict(run: Run) -> Verdict:
    """How good the winner of a run is, as the first line of its report says."""
    from automl_img.report.card import load_card
    from automl_img.report.verdict import verdict as of_card

    return of_card(load_card(run))


def load_run(run: str | Path | None = None, out: str | Path = RUNS) -> Run:
    """A run by its folder or URL, or by its name in ``out``; the newest one for None.

    Of a run at a URL what is needed to look at it is fetched, and its path is that of the copy.

    Args:
        out: a folder or a URL.

    Raises:
        RunError: there is none.
        SettingsError, DataError: no run can be at such a URL, or it cannot be read.
    """
    if _are_paths(run, out):
        return find_run(run, Path(out))
    from automl_img.mirror.reading import read_run

    return read_run(run, out)


def list_runs(out: str | Path = RUNS) -> list[Run]:
    """All runs in ``out``, a folder or a URL, newest first.

    Raises:
        SettingsError, DataError: no run can be at such a URL, or it cannot be read.
    """
    if _are_paths(out):
        return all_runs(Path(out))
    from automl_img.mirror.reading import runs_in

    return runs_in(out)


def _are_paths(*places: str | Path | None) -> bool:
    """Whether none can be a URL: what reads those takes long to import."""
    return not any("://" in str(place) for place in places)


def write_report(run: str | Path | None = None, out: str | Path = RUNS) -> Path:
    """Write ``report.html`` and ``report.json`` of a run anew; needs no TensorFlow and no Ray.

    Returns:
        The path of the page; of a run at a URL that of the copy here, and nothing is uploaded.

    Raises:
        RunError: there is no such run.
    """
    from automl_img.report import render

    found = load_run(run, out)
    refuse_links(found)
    return render.write_report(found)


def export_model(
    to: str | Path, run: str | Path | None = None, out: str | Path = RUNS, ensemble: bool = False
) -> Path:
    """Copy the model of a run to the file ``to``: uint8 images in, probabilities out.

    The run's model was compared with the trained one when it was written.

    Args:
        ensemble: the run's ensemble in place of its winner.

    Raises:
        RunError: there is no such run, it has no such model, or ``to`` cannot be written.
    """
    from automl_img.files import replacing

    found, target = load_run(run, out), Path(to).expanduser()
    source = found.ensemble if ensemble else found.model
    if ensemble and not source.exists():
        raise RunError(f"the run {found.name} has no ensemble: search with --ensemble N makes one")
    if not source.exists():
        raise RunError(f"the run {found.name} has no model: it did not come to its end")
    if target.suffix != ".keras":
        raise RunError(f"--to must end in .keras, the form there is, but got {str(to)!r}")
    try:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
    except OSError as error:
        raise RunError(f"{target} cannot be written: {error.strerror}") from None
    return target


def predict(
    model: str | Path | None, images: Sequence[str | Path], out: str | Path = RUNS
) -> list[Prediction]:
    """The class of each image, by the model of a run or an exported file.

    Folders stand for the images in them. An image that cannot be decoded has an ``error`` and stops
    nothing.

    Raises:
        RunError: there is no such run or file.
        ExportError: the model cannot be loaded.
        DataError: there is no image.
    """
    paths = [path for image in images for path in _images_in(Path(image))]
    if not paths:
        raise DataError(f"predict needs images, but there is none in {', '.join(map(str, images))}")
    file = _model_file(model, out)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from automl_img.export.predict import predict_files

    return predict_files(file, paths)


def _model_file(model: str | Path | None, out: str | Path) -> Path:
    if model is not None and (Path(model).is_file() or Path(model).suffix == ".keras"):
        return Path(model)
    run = load_run(model, out)
    if not run.model.exists():
        raise RunError(f"the run {run.name} has no model: it did not come to its end")
    return run.model


def _images_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    from automl_img.data.listing import is_image_name

    return sorted(file for file in path.rglob("*") if file.is_file() and is_image_name(file.name))
