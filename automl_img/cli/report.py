"""``automl-img report``."""

from __future__ import annotations

from automl_img.cli.options import RUNS, Out, Run
from automl_img.cli.output import say


def report(run: Run = None, out: Out = RUNS) -> None:
    """Write the report of a run anew, and say where it is."""
    from automl_img import api

    say(str(api.write_report(run, out)))
