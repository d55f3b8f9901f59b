"""The public functions; each command of the command line calls one of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.errors import DataError, RunError, SpaceError
from automl_img.events import Listener, ignore
from automl_img.runs import Run, all_runs, find_run, refuse_links

if TYPE_CHECKING:
    from automl_img.data.audit import Audit
    from automl_img.export.predict import Prediction
    from automl_img.report.verdict import Verdict
    from automl_img.search.plan import Plan
    from automl_img.search.reproduce import Reproduction
    from automl_img.space.dimensions import SearchSpace

__all__ = [
    "PresetSummary",
    "check_data",
    "export_model",
    "list_runs",
    "list_spaces",
    "load_run",
    "load_space",
    "new_space",
    "plan",
    "predict",
    "reproduce",
    "resume",
    "search",
    "verdict",
    "write_report",
]
RUNS = Path("runs")


@dataclass(frozen=True)
class PresetSummary:
    """A preset that ships: its name, what it is for, and how many hyperparameters it searches."""

    name: str
    description: str
    searched: int


def search(
    data: str | Path | None = None,
    *,
    listener: Listener = ignore,
    **settings: Any,
) -> Run:
    """Search, retrain the winner, test it once, export it, report it.

    See ``automl_img.search.study.search`` for arguments and errors.
    """
    from automl_img.search import study

    return study.search(data, listener=listener, **settings)


def resume(
    run: str | Path | None = None,
    *,
    out: str | Path = RUNS,
    budget: str | None = None,
    workers: int | None = None,
    listener: Listener = ignore,
) -> Run:
    """Go on with a run that was stopped, was killed, or has used up its budget.

    See ``automl_img.search.study.resume`` for arguments and errors.
    """
    from automl_img.search import study

    return study.resume(run, out=out, budget=budget, workers=workers, listener=listener)


def reproduce(
    run: str | Path | None = None,
    *,
    trial: int | None = None,
    out: str | Path = RUNS,
    listener: Listener = ignore,
) -> Reproduction:
    """Train a trial of a run again from its record, and compare.

    See ``automl_img.search.reproduce.reproduce`` for arguments and errors.
    """
    from automl_img.search import reproduce as again

    return again.reproduce(run, Path(out), trial, listener)


def plan(data: str | Path | None = None, *, listener: Listener = ignore, **settings: Any) -> Plan:
    """What a search with these settings will cost on this machine; nothing is trained.

    Args:
        settings: as of ``search``.

    See ``automl_img.search.plan.plan_search`` for errors.
    """
    from automl_img.search.plan import plan_search
    from automl_img.settings import check

    asked = check(settings if data is None else {**settings, "data": str(data)})
    return plan_search(asked, listener)


def check_data(
    data: str | Path | None = None,
    *,
    html: str | Path | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Audit:
    """What is wrong with images, before anything is trained on them.

    Args:
        html: a page with the pictures is written there.
        settings: as of ``search``; those of the data count.

    Raises:
        DataError: not one image can be used, or the page cannot be written.

    See ``automl_img.data.audit.audit`` for the other errors.
    """
    from automl_img.data.audit import audit
    from automl_img.settings import check

    asked = check(settings if data is None else {**settings, "data": str(data)})
    found = audit(asked, listener)
    if html is not None:
        from automl_img.report.audit import write_audit

        write_audit(found, Path(html).expanduser())
    return found


def verdict(run: Run) -> Verdict:
    """How good the winner of a run is, as the first line of its report says."""
    from automl_img.report.card import load_card
    from automl_img.report.verdict import verdict as of_card

    return of_card(load_card(run))


def load_run(run: str | Path | None = None, out: str | Path = RUNS) -> Run:
    """A run by its folder, or by its name in ``out``; the newest one for None.

    Raises:
        RunError: there is none.
    """
    return find_run(run, Path(out))


def list_runs(out: str | Path = RUNS) -> list[Run]:
    """All runs in ``out``, newest first."""
    return all_runs(Path(out))


def write_report(run: str | Path | None = None, out: str | Path = RUNS) -> Path:
    """Write ``report.html`` and ``report.json`` of a run anew; needs no TensorFlow and no Ray.

    Returns:
        The path of the page.

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


def list_spaces() -> list[PresetSummary]:
    """The presets that ship."""
    from automl_img.space.presets import find_preset, preset_names, read_preset

    summaries = []
    for name in preset_names():
        space, preset = load_space(name), read_preset(find_preset(name))
        summaries.append(PresetSummary(name, preset.description, len(space.searched)))
    return summaries


def load_space(
    name: str, search: dict[str, str] | None = None, fix: dict[str, str] | None = None
) -> SearchSpace:
    """The space of a preset or a YAML file, with ranges and values as typed on top.

    Raises:
        SpaceError: it is not valid; the message says where.
    """
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import build_space, find_preset, read_preset

    return build_space(name, read_preset(find_preset(name)), declared(), search or {}, fix or {})


def new_space(path: str | Path) -> Path:
    """Write a commented preset to edit, which names every hyperparameter there is.

    Raises:
        SpaceError: the file exists, or cannot be written.
    """
    from automl_img.files import write_text
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import commented_preset

    target = Path(path).expanduser()
    if target.exists():
        raise SpaceError(f"{target} exists already; name a new file")
    try:
        write_text(target, commented_preset(declared(), target.name))
    except OSError as error:
        raise SpaceError(f"{target} cannot be written: {error.strerror}") from None
    return target


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
