"""Trials that failed or were not trained: why, what they cost, and what avoids it."""

from __future__ import annotations

from automl_img.report.blocks import Cell, Section, Skipped, Table
from automl_img.report.card import Card
from automl_img.report.drawing import counted, duration
from automl_img.report.ledger import Failure, ledger

ORDER = 95
TITLE = "Failed trials"
MOST_NUMBERS = 12


def build(card: Card) -> Section | Skipped:
    found = ledger(card)
    if not found:
        return Skipped(TITLE, "No trial failed.")
    columns = ("Why", "Trials", "Time lost", "Which", "What the first one said", "What avoids it")
    count = sum(len(failure.trials) for failure in found)
    table = Table(
        "table-failures",
        f"{counted(count, 'trial')} without a result, by reason",
        columns,
        tuple(map(_row, found)),
        frozenset(columns[1:3]),
    )
    numbers = {failure.reason: [trial.number for trial in failure.trials] for failure in found}
    question = "What failed, why, and which change of the space avoids it?"
    return Section(TITLE, question, (table,), numbers)


def _row(failure: Failure) -> tuple[Cell, ...]:
    numbers = [str(trial.number) for trial in failure.trials[:MOST_NUMBERS]]
    more = ", …" if len(failure.trials) > MOST_NUMBERS else ""
    reason = "not trained" if failure.reason == "infeasible" else failure.reason
    return (
        Cell(reason),
        Cell(str(len(failure.trials)), len(failure.trials)),
        Cell(duration(failure.seconds), failure.seconds),
        Cell(", ".join(numbers) + more),
        Cell(failure.first),
        Cell(failure.advice),
    )
