"""``automl-img runs``."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from automl_img.cli.arguments import RUNS, Out
from automl_img.cli.output import data, note
from automl_img.errors import RunError

if TYPE_CHECKING:
    from automl_img.runs import Run


def runs(out: Out = RUNS) -> None:
    """List the runs: when, on what data, how good by the score that decided."""
    from automl_img import api

    found = api.list_runs(out)
    if not found:
        note(f"there is no run in {out}; start one with: automl-img search")
        return
    columns = ("run", "when", "data", "trials", "score", "validation", "test", "status")
    table = Table(*columns, box=None)
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
    best = [trial.best.objective or 0.0 for trial in trials if trial.best is not None]
    objective = next(iter(info.get("search", {}).get("objectives") or ()), "val_accuracy")
    test = run.read_json("test.json") or {}
    return (
        run.name,
        time.strftime("%Y-%m-%d %H:%M", time.localtime(info.get("started") or 0)),
        str(info.get("data", {}).get("source", "")),
        str(len(trials)),
        str(objective).removeprefix("val_").replace("_", " "),
        _score(max(best, default=None)),
        _score(_tested(test, objective)),
        status or str(info.get("status", "")),
    )


def _tested(test: dict[str, Any], objective: str) -> float | None:
    """What the test images gave of an objective, on the scale of the validation."""
    from automl_img.runs import TESTED

    value = test.get(TESTED.get(objective, ""))
    if value is None or objective != "val_loss":
        return value
    # Of several classes the log loss is their sum, and the objective that of one in the mean.
    return math.exp(-value / (len(test["classes"]) if test.get("multi_label") else 1))


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
