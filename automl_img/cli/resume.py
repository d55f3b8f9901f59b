"""``automl-img resume``."""

from __future__ import annotations

from typing import Annotated

import typer

from automl_img.cli.arguments import RUNS, Address, Out, Run
from automl_img.cli.search import follow


def resume(
    run: Run = None,
    budget: Annotated[
        str | None,
        typer.Option(help="What is added (+30, +1h, +500epochs), or the new whole (80, 3h)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Trials at a time. [default: as before]")
    ] = None,
    address: Address = None,
    out: Out = RUNS,
) -> None:
    """Go on with a run that was stopped, was killed or has used up its budget.

    Trials that ended stay as they are; those that were running go on from their last checkpoint.
    """
    from automl_img import api

    follow(
        lambda listener: api.resume(
            run, out=out, budget=budget, workers=workers, address=address, listener=listener
        )
    )
