"""Was the budget well spent?"""

from __future__ import annotations

import itertools
import math
from typing import Any

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card, reached
from automl_img.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    VIOLET,
    axis,
    counted,
    duration,
    line,
    percent,
    sentence_case,
)
from automl_img.report.verdict import epochs_spent
from automl_img.trials import TrialRecord, TrialState

ORDER = 80
TITLE = "Search"
MOST_BARS = 150


def build(card: Card) -> Section | Skipped:
    if not card.usable:
        return Skipped(TITLE, "No trial was validated.")
    blocks: list[Block] = [_history(card)]
    if any(len(trial.epochs) > 1 for trial in card.usable):
        blocks.append(_curves(card))
    if 1 < len(card.trials) <= MOST_BARS:
        blocks.append(_timeline(card))
    return Section(TITLE, "Was the budget well spent?", tuple(blocks))


def _history(card: Card) -> Figure:
    best_yet, so_far = [], -1.0
    for trial in card.usable:
        so_far = max(so_far, reached(trial))
        best_yet.append(so_far)
    best = card.best_trial
    groups = [
        ("stopped early by a rung", [t for t in card.stopped if t != best], GREY, "circle-open"),
        ("cut short or failed", _cut_short(card), GREY, "x-thin-open"),
        ("ran to its end", [t for t in card.finished if t != best], BLUE, "circle"),
        ("winner", [best] if best else [], ORANGE, "star"),
    ]
    numbers = [trial.number for trial in card.usable]
    steps = line(numbers, best_yet, "best so far", VIOLET, dash="dot", hoverinfo="skip")
    steps["line"]["shape"] = "hv"
    dots = [_dots(name, trials, *look) for name, trials, *look in groups if trials]
    return Figure(
        "figure-history",
        _history_heading(card, best),
        f"Each mark is a trial at its best {card.search.measure}. Trials stopped early are open "
        "circles: they might have become better. The numbers are in “All trials”.",
        [steps, *dots],
        {"xaxis": axis("trial"), "yaxis": axis(card.search.measure)},
        wide=len(card.usable) > 60,
    )


def _dots(name: str, trials: list[TrialRecord], colour: str, symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [trial.number for trial in trials],
        "y": [reached(trial) for trial in trials],
        "marker": {"color": colour, "symbol": symbol, "size": 14 if symbol == "star" else 8},
        "customdata": [len(trial.epochs) for trial in trials],
        "hovertemplate": "trial %{x}: %{y:.3f}, %{customdata} epochs<extra></extra>",
    }


def _history_heading(card: Card, best: TrialRecord | None) -> str:
    if best is None:
        return "No trial ran to its end"
    numbers = [trial.number for trial in card.usable]
    place = numbers.index(best.number) + 1
    text = f"The best trial was the {_ordinal(place)} of {len(numbers)}"
    late = len(numbers) >= 10 and place > 0.8 * len(numbers)
    return text + (": the search may still have been improving" if late else "")


def _curves(card: Card) -> Figure:
    best = card.best_trial
    finished = [trial for trial in card.finished if trial != best]
    data = [
        _bundle("stopped by a rung", [t for t in card.stopped if t != best], GREY, 1.2, "dot"),
        _bundle("cut short or failed", _cut_short(card), GREY, 1.2, "dash"),
        _bundle("ran to its end", finished, BLUE, 1.2, "solid"),
        _bundle("winner", [best] if best else [], ORANGE, 3, "solid"),
    ]
    rungs = [
        {
            "type": "line",
            "x0": rung,
            "x1": rung,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "layer": "below",
            "line": {"color": GREY, "dash": "dash", "width": 1},
        }
        for rung in card.search.rungs
    ]
    run, full = epochs_spent(card)
    saved = (
        f"Stopping weak trials early saved {percent(1 - run / full)} of the epochs" if full else ""
    )
    rule = ", ".join(str(rung) for rung in card.search.rungs)
    caption = f"{sentence_case(card.search.measure)} of every trial by epoch. "
    if rule:
        caption += f"At the dashed lines (rungs, after {rule} epochs) only the best went on."
    if full is None or run >= full:
        saved = f"{counted(len(card.finished), 'trial')} ran to the end"
    return Figure(
        "figure-curves",
        saved,
        caption,
        [trace for trace in data if trace["x"]],
        {"xaxis": axis("epoch"), "yaxis": axis(card.search.measure), "shapes": rungs},
        wide=len(card.usable) > 60,
    )


def _bundle(
    name: str, trials: list[TrialRecord], colour: str, width: float, dash: str
) -> dict[str, Any]:
    """Many curves as one trace: a gap parts them, so that 1,000 trials stay one line of SVG."""
    x: list[Any] = []
    y: list[Any] = []
    who: list[Any] = []
    for trial in trials:
        scored = [epoch for epoch in trial.epochs if epoch.objective is not None]
        x += [*(epoch.epoch for epoch in scored), None]
        y += [*(epoch.objective for epoch in scored), None]
        who += [*(trial.number for _ in scored), None]
    shown = "trial %{customdata}, epoch %{x}: %{y:.3f}<extra></extra>"
    trace = line(x, y, name, colour, dash=dash, customdata=who, hovertemplate=shown)
    trace["line"]["width"] = width
    return trace


def _seconds_until(card: Card, moment: float) -> float:
    """Since the first trial; the time between two sessions of a run does not count."""
    start = min(trial.started for trial in card.trials)
    sessions = card.info.get("sessions") or []
    between = [
        max(0.0, min(began, moment) - max(ended, start))
        for (_, ended), (began, _) in itertools.pairwise(sessions)
        if ended is not None
    ]
    return float(moment - start - sum(between))


def _timeline(card: Card) -> Figure:
    kinds = {
        TrialState.FAILED: ("failed", ORANGE),
        TrialState.PRUNED: ("stopped early", GREY),
        TrialState.COMPLETE: ("ran to its end", BLUE),
    }
    data = []
    for state, (name, colour) in kinds.items():
        trials = [trial for trial in card.trials if trial.state is state]
        if trials:
            data.append(_bars(card, name, trials, colour))
    busy = sum(trial.ended - trial.started for trial in card.trials)
    total = max(_seconds_until(card, trial.ended) for trial in card.trials)
    table = _timeline_table(card)
    return Figure(
        "figure-timeline",
        f"{busy / total:.1f} trials ran at a time on average, {duration(total)} in all"
        if total > 0
        else "When each trial ran",
        "Each bar is a trial, from its start to its end. A gap is time in which a worker waited."
        + _traced(card),
        data,
        {
            "xaxis": axis("seconds since the first trial"),
            "yaxis": axis("trial", autorange="reversed"),
        },
        table,
        height=min(720, 160 + 9 * len(card.trials)),
        wide=len(card.trials) > 60,
    )


def _traced(card: Card) -> str:
    """How many compiled graphs the workers did not have from an earlier trial, as a sentence."""
    traced = [trial.graphs_traced for trial in card.trials if trial.graphs_traced is not None]
    if not traced:
        return ""
    trials = counted(len(traced), "trial")
    return f" {counted(sum(traced), 'graph')} traced for {trials}; workers had kept the others."


def _bars(card: Card, name: str, trials: list[TrialRecord], colour: str) -> dict[str, Any]:
    x: list[Any] = []
    y: list[Any] = []
    for trial in trials:
        moments = trial.started, trial.ended
        x += [*(round(_seconds_until(card, moment), 2) for moment in moments), None]
        y += [trial.number, trial.number, None]
    shown = "trial %{y}: %{x:.1f} s<extra></extra>"
    dash = {"failed": "dot"}.get(name, "solid")
    bars = line(x, y, name, colour, dash=dash, hovertemplate=shown)
    bars["line"]["width"] = 5
    return bars


def _timeline_table(card: Card) -> Table:
    columns = ("Trial", "Start (s)", "Seconds", "How it ended")
    rows = tuple(
        (
            Cell(str(trial.number), trial.number),
            Cell(f"{began:.1f}", began),
            Cell(f"{trial.ended - trial.started:.1f}", trial.ended - trial.started),
            Cell(trial.stop_reason),
        )
        for trial in card.trials
        if math.isfinite(trial.ended)
        for began in (_seconds_until(card, trial.started),)
    )
    return Table(
        "table-timeline", "When each trial ran", columns, rows, frozenset(columns[:3]), True
    )


def _cut_short(card: Card) -> list[TrialRecord]:
    """Trials that neither came to their end nor were found to be weak."""
    others = (*card.finished, *card.stopped, card.best_trial)
    return [trial for trial in card.usable if trial not in others]


def _ordinal(place: int) -> str:
    ending = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"
