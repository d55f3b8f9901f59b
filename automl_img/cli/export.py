"""``automl-img export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from automl_img.cli.arguments import RUNS, Out, Run
from automl_img.cli.output import say


def export(
    to: Annotated[Path, typer.Option(help="The file to write, ending in .keras.")],
    run: Run = None,
    out: Out = RUNS,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="The ensemble of the run, not its winner.")
    ] = False,
) -> None:
    """Write the model of a run to a file: uint8 images in, probabilities out."""
    from automl_img import api

    say(str(api.export_model(to, run, out, ensemble)))
