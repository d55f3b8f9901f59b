"""``automl-img reproduce``."""

from __future__ import annotations

from typing import Annotated

import typer

from automl_img.cli.arguments import RUNS, Out, Run
from automl_img.cli.output import note, quiet_libraries, say, talk


def reproduce(
    run: Run = None,
    trial: Annotated[
        int | None, typer.Option(help="Its number. [default: that of the winner]")
    ] = None,
    out: Out = RUNS,
) -> None:
    """Train a trial of a run again from its record, and say whether it gives the same.

    The exit code is 1 where it does not.
    """
    from automl_img import api
    from automl_img.cli.listeners import listening

    with quiet_libraries(), listening(talk) as listener:
        found = api.reproduce(run, trial=trial, out=out, listener=listener)
    for other in found.others:
        note(f"not as it was: {other}")
    say(found.sentence)
    if not found.holds:
        raise typer.Exit(1)
