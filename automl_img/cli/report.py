"""``automl-img report``."""

from __future__ import annotations

import os

from automl_img.cli.arguments import RUNS, Out, Run
from automl_img.cli.output import say


def report(run: Run = None, out: Out = RUNS) -> None:
    """Write the report of a run anew, and say where it is."""
    # A report needs no linear algebra, for which numpy would start a thread for each core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    from automl_img import api

    say(str(api.write_report(run, out)))
