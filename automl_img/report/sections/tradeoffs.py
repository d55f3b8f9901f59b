"""What does accuracy cost, and which trials are worth their price?"""

from __future__ import annotations

from typing import Any

from automl_img.objectives import (
    OBJECTIVES,
    Limits,
    Objective,
    described,
    pareto_front,
)
from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table, Text
from automl_img.report.card import Card, reached
from automl_img.report.drawing import (
    BLUE,
    DASH,
    GREY,
    ORANGE,
    axis,
    counted,
    line,
    number,
    sentence_case,
)
from automl_img.report.verdict import family
from automl_img.trials import TrialRecord

ORDER = 105
TITLE = "Accuracy against cost"
_ACCURACY = OBJECTIVES[0]
# (title of the axis, what its unit is worth) by measured fact.
_AXES = {
    "latency_ms": ("milliseconds for one image", 1.0),
    "size_bytes": ("size of the model in MB", 1e-6),
    "parameters": ("parameters in millions", 1e-6),
}


def build(card: Card) -> Section | Skipped:
    asked = _asked(card)
    limits = _limits(card)
    if len(asked) < 2 and not limits:
        return Skipped(TITLE, "The search had one aim, and no limit was set for its models.")
    bounded = [name for name, limit in limits.values().items() if limit is not None]
    costs = [item for item in OBJECTIVES if item.fact and (item in asked or item.fact in bounded)]
    measured = [
        trial
        for trial in card.usable
        if all(cost.value(trial) is not None for cost in costs if cost in asked)
        and any(cost.value(trial) is not None for cost in costs)
    ]
    if not measured:
        return Skipped(TITLE, "No trial reached an accuracy and was measured as it would be used.")
    aims = asked if len(asked) > 1 else (_ACCURACY, *costs)
    front = pareto_front(measured, aims, limits)
    blocks: list[Block] = [_figure(card, cost, measured, front, limits) for cost in costs]
    blocks.append(_table(card, front))
    untrained = [trial for trial in card.trials if trial.stop_reason == "infeasible"]
    blocks += _notes(card, len(untrained))
    numbers = {
        "objectives": [aim.name for aim in aims],
        "limits": {name: limit for name, limit in limits.values().items() if limit is not None},
        "front": [trial.number for trial in front],
        "beyond_limits": [trial.number for trial in measured if _beyond(trial, limits)],
        "untrained": [trial.number for trial in untrained],
    }
    question = "What does accuracy cost, and which trials are worth their price?"
    return Section(TITLE, question, tuple(blocks), numbers)


def _notes(card: Card, untrained: int) -> list[Block]:
    """What the exported model costs, and how many were left out for what theirs would."""
    notes: list[Block] = []
    if card.winner is not None and card.winner.serving:
        costs = [described(fact, value) for fact, value in sorted(card.winner.serving.items())]
        notes.append(Text(f"The exported model, measured when it was done: {', '.join(costs)}."))
    if untrained:
        notes.append(
            Text(
                f"{counted(untrained, 'configuration')} beyond a limit "
                f"{'was' if untrained == 1 else 'were'} measured and not trained."
            )
        )
    return notes


def _asked(card: Card) -> tuple[Objective, ...]:
    search = card.info.get("search")
    names = search.get("objectives") if isinstance(search, dict) else None
    wanted = names if isinstance(names, list) else []
    return tuple(item for item in OBJECTIVES if item.name in wanted)


def _limits(card: Card) -> Limits:
    search = card.info.get("search")
    stored = search.get("limits") if isinstance(search, dict) else None
    known = stored if isinstance(stored, dict) else {}
    return Limits(
        **{
            name: float(known[name])
            for name in Limits().values()
            if isinstance(known.get(name), (int, float))
        }
    )


def _beyond(trial: TrialRecord, limits: Limits) -> bool:
    return limits.infeasible(trial.serving or {}) is not None


def _figure(
    card: Card,
    cost: Objective,
    measured: list[TrialRecord],
    front: list[TrialRecord],
    limits: Limits,
) -> Figure:
    shown = [trial for trial in measured if cost.value(trial) is not None]
    best = card.best_trial
    others = [trial for trial in shown if trial not in front and trial != best]
    groups = [
        ("beyond a limit", [t for t in others if _beyond(t, limits)], GREY, "x"),
        ("beaten by another", [t for t in others if not _beyond(t, limits)], BLUE, "circle"),
        ("beaten by none", [t for t in front if t != best], ORANGE, "diamond"),
        ("winner", [t for t in shown if t == best], ORANGE, "star"),
    ]
    title, unit = _AXES[cost.fact]
    limit = limits.values()[cost.fact]
    bound = {"type": "line", "x0": 0.0, "x1": 0.0, "y0": 0, "y1": 1, "yref": "paper"}
    shapes = [
        {**bound, "x0": edge, "x1": edge, "line": {"color": GREY, "dash": "dash", "width": 1}}
        for edge in ([limit * unit] if limit is not None else [])
    ]
    caption = (
        f"Each mark is a trial: its best {card.search.measure}, and what its model costs as it "
        "would be exported. Times are medians of single predictions on the machine that searched."
    )
    if limit is not None:
        caption += f" The dashed line is the limit, {described(cost.fact, limit)}."
    return Figure(
        f"figure-tradeoff-{cost.name}",
        _heading(cost, front),
        caption,
        [
            _dots(name, trials, cost, colour, mark)
            for name, trials, colour, mark in groups
            if trials
        ],
        {
            "xaxis": axis(title, rangemode="tozero"),
            "yaxis": axis(card.search.measure),
            "shapes": shapes,
        },
    )


def _heading(cost: Objective, front: list[TrialRecord]) -> str:
    known = [trial for trial in front if cost.value(trial) is not None]
    if not known:
        return "No trial keeps the limits"
    if len(known) == 1:
        return f"Trial {known[0].number} is beaten by none, at {_told(cost, known[0])}"
    cheapest = min(known, key=lambda trial: (cost.value(trial) or 0.0, trial.number))
    dearest = max(known, key=reached)
    return (
        f"{counted(len(known), 'trial')} are beaten by none, from "
        f"{number(reached(dearest))} at {_told(cost, dearest)} to "
        f"{number(reached(cheapest))} at {_told(cost, cheapest)}"
    )


def _told(cost: Objective, trial: TrialRecord) -> str:
    return described(cost.fact, cost.value(trial) or 0.0)


def _dots(
    name: str, trials: list[TrialRecord], cost: Objective, colour: str, mark: str
) -> dict[str, Any]:
    unit = _AXES[cost.fact][1]
    return line(
        [(cost.value(trial) or 0.0) * unit for trial in trials],
        [reached(trial) for trial in trials],
        name,
        colour,
        mode="markers",
        marker={"color": colour, "symbol": mark, "size": 14 if mark == "star" else 9},
        customdata=[trial.number for trial in trials],
        hovertemplate="trial %{customdata}: %{y:.3f} at %{x:.4g}<extra></extra>",
    )


def _table(card: Card, front: list[TrialRecord]) -> Table:
    measure = sentence_case(card.search.measure)
    columns = ("Trial", "Model", measure, "ms for one image", "MB", "Parameters")
    return Table(
        "table-tradeoffs",
        "The trials that no other beats, within the limits; the most accurate first",
        columns,
        tuple(_row(card, trial) for trial in front),
        frozenset(columns[2:]),
    )


def _row(card: Card, trial: TrialRecord) -> tuple[Cell, ...]:
    serving = trial.serving or {}
    best = card.best_trial
    won = best is not None and trial.number == best.number
    accuracy = reached(trial)
    size, parameters = serving.get("size_bytes"), serving.get("parameters")
    return (
        Cell(f"{trial.number} ★ winner" if won else str(trial.number), trial.number),
        Cell(family(trial.params)),
        Cell(number(accuracy), accuracy),
        Cell(number(serving.get("latency_ms"), 2), serving.get("latency_ms")),
        Cell(number(size / 1e6 if size is not None else None, 2), size),
        Cell(DASH if parameters is None else f"{parameters:,.0f}", parameters),
    )
