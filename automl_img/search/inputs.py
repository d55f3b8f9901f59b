"""What a run folder holds before its first trial: what was asked, of what data, on what machine."""

from __future__ import annotations

import csv
import dataclasses
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from automl_img.data.listing import LeftOut
from automl_img.data.prepare import Prepared
from automl_img.data.urls import shown
from automl_img.files import append_json_line, replacing, write_text
from automl_img.runs import Run
from automl_img.search.hardware import describe_versions
from automl_img.search.resources import Resources, describe_hardware
from automl_img.search.rungs import REDUCTION_FACTOR, Rungs
from automl_img.search.sharing import new_study
from automl_img.settings import SearchSettings
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import describe_space, space_yaml


def run_info(
    settings: SearchSettings,
    space: SearchSpace,
    resources: Resources,
    prepared: Prepared,
    name: str,
    started: float,
) -> dict[str, Any]:
    """``run.json`` as the search begins; see ``automl_img.runs``.

    Args:
        started: seconds since 1970, UTC.
    """
    counts = prepared.class_counts
    return {
        "format": 1,
        "name": name,
        "command": command_of(settings),
        "started": started,
        "finished": None,
        "status": "running",
        "settings": settings.model_dump(),
        # What its paths are relative to.
        "folder": str(Path.cwd()),
        # When each session began and ended; None while it runs.
        "sessions": [],
        "seed": settings.seed,
        "versions": describe_versions(),
        "hardware": describe_hardware(resources),
        "data": {
            "source": prepared.name,
            "kind": prepared.kind,
            "class_names": prepared.class_names,
            "coarse": prepared.index.coarse,
            "image_size": prepared.image_size,
            "channels": prepared.channels,
            "multi_label": prepared.multi_label,
            "splits": {part: len(rows) for part, rows in prepared.split.parts().items()},
            "class_counts": counts,
            "fingerprint": prepared.index.fingerprint,
            "left_out": len(prepared.left_out),
            "audit": [
                {"severity": each.severity, "kind": each.kind, "sentence": each.sentence}
                for each in prepared.findings
            ],
            "flips": prepared.flips,
        },
        "search": {
            "budget": settings.allowed.trials,
            "allowed": str(settings.allowed),
            "max_epochs": settings.max_epochs,
            "sampler": settings.sampler,
            "space": settings.space,
            "reduction_factor": REDUCTION_FACTOR,
            "rungs": Rungs(settings.max_epochs).epochs,
            "dimensions": describe_space(space),
            "objectives": [objective.name for objective in settings.objectives],
            "limits": settings.limits.bounded,
        },
        "seconds": {},
        **({"study": new_study(settings, name)} if settings.storage is not None else {}),
    }


def command_of(settings: SearchSettings) -> str:
    """How to ask for this search again, wherever its settings came from."""
    # The report shows it, and a signed URL is for nobody else.
    words = ["automl-img", "search", shown(settings.data)]
    for key, value in settings.model_dump(exclude_defaults=True).items():
        option = f"--{key.replace('_', '-')}"
        if isinstance(value, dict):
            for name, typed in value.items():
                words += [option, f"{name}={typed}"]
        elif isinstance(value, tuple):
            for item in value:
                words += [option, str(item)]
        elif value is True:
            words.append(option)
        elif key != "data":
            words += [option, str(value)]
    return shlex.join(words)


def write_inputs(run: Run, space: SearchSpace, prepared: Prepared) -> None:
    """What a search starts from: its space, its split, and what was left out."""
    write_text(run.path / "space.yaml", space_yaml(space))
    write_split(run.path / "split.csv", prepared)
    # Whoever was killed here before has begun that list.
    (run.path / "left_out.jsonl").unlink(missing_ok=True)
    write_left_out(run, prepared.left_out)


def write_left_out(run: Run, entries: Iterable[LeftOut]) -> None:
    """Note images that are not used, with the reason."""
    for entry in entries:
        append_json_line(run.path / "left_out.jsonl", dataclasses.asdict(entry))


def write_split(path: Path, prepared: Prepared) -> None:
    """One line an image that is used: path, label (several with "|" between them) and split."""
    index = prepared.index
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(("path", "label", "split"))
        for part, rows in prepared.split.parts().items():
            for row in rows.tolist():
                lines.writerow((index.names[row], index.label_of(row), part))
