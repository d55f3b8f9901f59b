"""``automl-img predict``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from automl_img.cli.arguments import RUNS, Out
from automl_img.cli.output import fail, quiet_libraries, say_row, write_json


def predict(
    model: Annotated[str, typer.Argument(metavar="RUN_OR_MODEL", help="A run, or a .keras file.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    json: Annotated[bool, typer.Option("--json", help="Every probability, as JSON.")] = False,
    out: Out = RUNS,
) -> None:
    """Say the class of each image, and how probable it is.

    A line an image: file, class and probability, with tabs between them. Of a model for several
    classes an image it has all that are said to be there, and their probabilities in this order,
    with "|" between them.
    """
    from automl_img import api

    with quiet_libraries():
        found = api.predict(model, images, out)
    if json:
        write_json([dataclasses.asdict(prediction) for prediction in found])
    for prediction in found:
        if prediction.error is not None:
            fail(f"{prediction.image}: {prediction.error}")
        elif not json:
            sure = [f"{prediction.probabilities[name]:.3f}" for name in prediction.labels]
            say_row(prediction.image, prediction.label or "", "|".join(sure))
    if any(prediction.error for prediction in found):
        raise typer.Exit(1)
