"""``automl-img search``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from automl_img.cli.options import takes_settings
from automl_img.cli.output import note, quiet_libraries, say, talk

if TYPE_CHECKING:
    from automl_img.events import Listener
    from automl_img.runs import Run


@takes_settings
def search(settings: dict[str, Any]) -> None:
    """Search for the best classifier of DATA, retrain it, test it once, export it and report it.

    DATA defaults to what automl-img.toml in this folder says, else to the built-in digits. Ctrl-C
    stops with the best so far; Ctrl-C again stops at once.
    """
    from automl_img import api

    follow(lambda listener: api.search(listener=listener, **settings))


def follow(start: Callable[[Listener], Run]) -> None:
    """Show how a search goes, and what it has found.

    Args:
        start: searches, and tells the listener that it is given.
    """
    from automl_img import api
    from automl_img.cli.listeners import listening

    try:
        with quiet_libraries(), listening(talk) as listener:
            run = start(listener)
    except KeyboardInterrupt:
        note("stopped at once; nothing that was trained is lost: automl-img resume goes on")
        raise typer.Exit(130) from None
    say_result(api.verdict(run), run)


def say_result(verdict: Any, run: Any) -> None:
    """The result of a search: how good, who won, where it is."""
    say(verdict.line)
    if verdict.winner:
        say(f"Winner:  {verdict.winner}")
    if run.url is not None:
        say(f"Run:     {run.url}")
        say(f"Report:  {run.url}/{run.report.name}")
    say(f"{'Here:   ' if run.url else 'Report: '} {_short(run.report)}")
    if run.model.exists():
        say(f"Model:   {_short(run.model)}")
    if together := run.read_json("ensemble.json"):
        members, test = len(together["members"]), together["test"]
        score = f"accuracy {test['accuracy']:.3f}"
        if test.get("mean_average_precision") is not None:
            score = f"mean average precision {test['mean_average_precision']:.3f}"
        say(f"Ensemble: test {score} with {members} models: {_short(run.ensemble)}")


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter to type."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
