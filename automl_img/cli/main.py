"""``automl-img``: the commands, and what happens when one of them fails."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from automl_img.cli import (
    data,
    doctor,
    export,
    jobs,
    plan,
    predict,
    report,
    reproduce,
    resume,
    runs,
    search,
    spaces,
    submit,
)
from automl_img.cli.output import fail, say
from automl_img.cli.overview import Overview
from automl_img.errors import AutomlImgError, SettingsError

_ABOUT = "Search image classifiers, and say honestly how good the winner is."
app = typer.Typer(
    name="automl-img",
    cls=Overview,
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("search")(search.search)
app.command("resume")(resume.resume)
app.command("reproduce")(reproduce.reproduce)
app.command("plan")(plan.plan)
app.command("submit", context_settings={"allow_interspersed_args": False})(submit.submit)
app.add_typer(jobs.app, name="jobs")
app.add_typer(data.app, name="data")
app.add_typer(spaces.app, name="spaces")
app.command("report")(report.report)
app.command("export")(export.export)
app.command("predict")(predict.predict)
app.command("runs")(runs.runs)
app.command("doctor")(doctor.doctor)


def _show_version(asked: bool) -> None:
    if asked:
        from automl_img import __version__

        say(f"automl-img {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Search image classifiers, and say honestly how good the winner is."""


def main() -> None:
    """Run the command line; a known error is one sentence, never a traceback.

    Exit codes: 0; 1 where the input cannot be used or something failed; 2 for a wrong use of the
    command line or its settings; 130 after Ctrl-C.
    """
    try:
        app()
    except AutomlImgError as error:
        fail(str(error))
        sys.exit(2 if type(error) is SettingsError else 1)
    except BrokenPipeError:
        # Whoever read us has gone; a flush at exit would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("AUTOML_IMG_DEBUG"):
            raise
        lines = str(error).strip().splitlines() or [""]
        fail(
            f"this should not happen, please report it: {type(error).__name__}: {lines[0]} "
            "(AUTOML_IMG_DEBUG=1 shows where)"
        )
        sys.exit(1)
