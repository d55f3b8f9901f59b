"""``automl-img runs``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from automl_img.cli.options import RUNS, Out
from automl_img.cli.output import data, note
from automl_img.errors import RunError

if TYPE_CHECKING:
    from automl_img.runs import Run


def runs(out: Out = RUNS) -> None:
    """List the runs: when, on what data, best validation and test accuracy."""
    from automl_img import api

    found = api.list_runs(out)
    if not found:
        note(f"there is no run in {out}; start one with: automl-img search")
        return
    table = Table("run", "when", "data", "trials", "validation", "test", "status", box=None)
    for run in found:
        table.add_row(*(escape(cell) for cell in _row(run)))
    data.print(table)


def _row(run: Run) -> tuple[str, ...]:
    info, status = run.info, ""
    try:
        trials = run.trials()
    except RunError:
        # The others are listed all the same.
        trials, status = [], "damaged"
    best = [trial.best.val_accuracy or 0.0 for trial in trials if trial.best is not None]
    test = run.read_json("test.json") or {}
    return (
        run.name,
        time.strftime("%Y-%m-%d %H:%M", time.localtime(info.get("started") or 0)),
        str(info.get("data", {}).get("source", "")),
        str(len(trials)),
        _accuracy(max(best, default=None)),
        _accuracy(test.get("accuracy")),
        status or str(info.get("status", "")),
    )


def _accuracy(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
