"""All trials, and why each stopped."""

from __future__ import annotations

from automl_img.report.blocks import Cell, Section, Skipped, Table
from automl_img.report.card import Card, reached
from automl_img.report.drawing import DASH, number, sentence_case, significant
from automl_img.trials import TrialRecord

ORDER = 100
TITLE = "All trials"
MOST_ROWS = 1000
MOST_COLUMNS = 12
FIXED = (
    "Epochs",
    "Why it stopped",
    "Origin",
    "Seconds",
    "Graphs traced",
    "Parameters",
)


def build(card: Card) -> Section | Skipped:
    if not card.trials:
        return Skipped(TITLE, "No trial has ended yet.")
    ranked = sorted(card.trials, key=lambda t: (-reached(t), t.number))
    searched = [d.name for d in card.search.dimensions][:MOST_COLUMNS]
    first = ("Trial", sentence_case(card.search.measure))
    columns = (*first, *FIXED, *searched)
    numeric = {*first, *FIXED} - {"Why it stopped", "Origin"}
    numeric |= {d.name for d in card.search.dimensions if d.numeric}
    rows = tuple(_row(trial, searched, card) for trial in ranked[:MOST_ROWS])
    left_out = max(0, len(ranked) - MOST_ROWS)
    caption = "All trials, best first"
    table = Table("table-trials", caption, columns, rows, frozenset(numeric), False, left_out)
    return Section(TITLE, "What was tried, and why did each trial stop?", (table,))


def _row(trial: TrialRecord, searched: list[str], card: Card) -> tuple[Cell, ...]:
    gave = trial.best.objective if trial.best else None
    seconds = trial.ended - trial.started
    traced = trial.graphs_traced
    won = card.winner is not None and card.winner.number == trial.number
    params = [trial.params.get(name) for name in searched]
    return (
        Cell(f"{trial.number} ★ winner" if won else str(trial.number), trial.number),
        Cell(number(gave), gave),
        Cell(str(len(trial.epochs)), len(trial.epochs)),
        Cell(_reason(trial)),
        Cell(_origin(trial)),
        Cell(f"{seconds:.1f}", seconds),
        Cell(DASH if traced is None else str(traced), traced),
        Cell(f"{trial.parameters:,}" if trial.parameters else DASH, trial.parameters),
        *(_value(value) for value in params),
    )


def _origin(trial: TrialRecord) -> str:
    """Who chose it."""
    repeat = trial.repeat_of is not None
    return f"trial {trial.repeat_of}, another seed" if repeat else trial.origin


def _reason(trial: TrialRecord) -> str:
    if not trial.error:
        return trial.stop_reason
    first = (trial.error.strip().splitlines() or [""])[0]
    return f"{trial.stop_reason}: {first[:120]}"


def _value(value: object) -> Cell:
    if value is None:
        return Cell(DASH)
    sort = float(value) if isinstance(value, (int, float)) else None
    return Cell(significant(value), sort)
