"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

# The panel of the help that has the options of trials.
TRIAL = "The trials"
RUNS = "runs"
Run = Annotated[
    str | None, typer.Argument(help="A run's folder, URL or name; the newest one if left out.")
]
Out = Annotated[str, typer.Option(help="The folder of all run folders, or its URL.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="A running Ray cluster to use; auto for that of this machine, local for none.",
        rich_help_panel=TRIAL,
    ),
]
