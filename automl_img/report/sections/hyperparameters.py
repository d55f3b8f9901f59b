"""Which hyperparameters mattered, and where were the good values?"""

from __future__ import annotations

from typing import Any

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card, validation_accuracy
from automl_img.report.drawing import (
    BLUE,
    DASH,
    GREY,
    ORANGE,
    axis,
    label,
    line,
    number,
    significant,
)
from automl_img.report.facts import Dimension
from automl_img.report.importance import FEWEST_TRIALS, Importance, importances
from automl_img.trials import TrialRecord

ORDER = 90
TITLE = "Hyperparameters"
MOST_AXES = 9


def build(card: Card) -> Section | Skipped:
    if len(card.usable) < 2 or not card.search.dimensions:
        return Skipped(TITLE, "It takes two trials and a searched hyperparameter.")
    blocks: list[Block] = []
    found = importances(card) if len(card.usable) >= FEWEST_TRIALS else []
    if found:
        blocks.append(_importance(found))
    rank = {item.name: place for place, item in enumerate(found)}
    used = [d for d in card.search.dimensions if any(d.name in t.params for t in card.usable)]
    used.sort(key=lambda dimension: rank.get(dimension.name, len(rank)))
    if used:
        blocks.append(_parallel(card, used[:MOST_AXES], len(used)))
    question = "Which ones mattered, and where were the good values?"
    if not found:
        question += f" Importance needs {FEWEST_TRIALS} trials; this run has {len(card.usable)}."
    shares = [{"name": item.name, "share": round(item.share, 4)} for item in found]
    return Section(TITLE, question, tuple(blocks), {"importance": shares})


def _importance(found: list[Importance]) -> Figure:
    drawn = found[:15][::-1]
    places = list(range(len(drawn)))
    first = found[0]
    clear = len(found) < 2 or first.low > found[1].high
    heading = f"“{first.name}” mattered most: {first.share:.0%} of the importance"
    if not clear:
        heading = f"“{first.name}” comes first, but not clearly: the intervals overlap"
    columns = ("Hyperparameter", "Importance", "80 % interval")
    rows = tuple(
        (
            Cell(item.name),
            Cell(number(item.share, 2), item.share),
            Cell(f"{item.low:.2f}{DASH}{item.high:.2f}"),
        )
        for item in found
    )
    data = {
        "type": "bar",
        "orientation": "h",
        "x": [item.share for item in drawn],
        "y": places,
        "marker": {"color": BLUE},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, item.high - item.share) for item in drawn],
            "arrayminus": [max(0.0, item.share - item.low) for item in drawn],
            "color": GREY,
            "thickness": 1.5,
        },
        "hovertemplate": "%{x:.2f}<extra></extra>",
        "showlegend": False,
    }
    names = [label(item.name) for item in drawn]
    return Figure(
        "figure-importance",
        heading,
        "PED-ANOVA: how much the best tenth of the trials differs from all trials in each "
        "hyperparameter. Intervals (80 %) from resampled trials. It tells what mattered within "
        "the ranges searched, not what matters in general.",
        [data],
        {
            "xaxis": axis("share of the importance", rangemode="tozero"),
            "yaxis": axis("", tickvals=places, ticktext=names),
        },
        Table("table-importance", "Importance", columns, rows, frozenset(columns[1:]), True),
        height=max(240, 110 + 26 * len(drawn)),
    )


def _parallel(card: Card, dimensions: list[Dimension], all_of_them: int) -> Figure:
    """Parallel coordinates as plain lines; Plotly's own need WebGL and a laxer script policy."""
    ranked = sorted(card.usable, key=validation_accuracy, reverse=True)
    best = card.best_trial
    top = [trial for trial in ranked[: max(2, len(ranked) // 5)] if trial != best]
    rest = [trial for trial in ranked if trial not in top and trial != best]
    accuracies = [validation_accuracy(trial) for trial in ranked]
    span = (min(accuracies), max(accuracies))
    groups = [
        ("other trials", rest, GREY, 1.0, "solid"),
        ("best fifth", top, BLUE, 1.8, "solid"),
        ("winner", [best] if best else [], ORANGE, 3.0, "solid"),
    ]
    data = [_polylines(dimensions, span, *group) for group in groups if group[1]]
    places = list(range(len(dimensions) + 1))
    names = [label(d.name.split(".")[-1].replace("_", " "), 16) for d in dimensions]
    notes = [note for x, d in enumerate(dimensions) for note in _scale(x, d)]
    notes += _ends(len(dimensions), number(span[0]), number(span[1]))
    caption = "One line a trial, from its hyperparameters to its validation accuracy at the right. "
    caption += "A gap means that the hyperparameter did not apply to the trial. "
    if all_of_them > len(dimensions):
        caption += f"The first {len(dimensions)} of {all_of_them} hyperparameters."
    hidden = {"showgrid": False, "zeroline": False, "fixedrange": True}
    return Figure(
        "figure-parallel",
        "Where the best trials had their values",
        caption,
        data,
        {
            "xaxis": {
                "tickvals": places,
                "ticktext": [*names, "accuracy"],
                "range": [-0.35, len(dimensions) + 0.35],
                "side": "top",
                "automargin": True,
                **hidden,
                "showgrid": True,
            },
            "yaxis": {"visible": False, "range": [-0.12, 1.12], **hidden},
            "annotations": notes,
        },
        height=420,
        wide=True,
    )


def _polylines(
    dimensions: list[Dimension],
    span: tuple[float, float],
    name: str,
    trials: list[TrialRecord],
    colour: str,
    width: float,
    dash: str,
) -> dict[str, Any]:
    x: list[Any] = []
    y: list[Any] = []
    who: list[Any] = []
    for trial in trials:
        own = [d.position(trial.params.get(d.name)) for d in dimensions]
        reach = span[1] - span[0]
        own.append((validation_accuracy(trial) - span[0]) / reach if reach > 0 else 0.5)
        x += [*range(len(own)), None]
        y += [None if place is None else round(place, 4) for place in own] + [None]
        shown = [significant(trial.params.get(d.name, DASH)) for d in dimensions]
        texts = [*shown, number(validation_accuracy(trial))]
        who += [f"trial {trial.number}: {label(text)}" for text in texts] + [None]
    trace = line(x, y, name, colour, dash=dash, text=who, hovertemplate="%{text}<extra></extra>")
    trace["line"]["width"] = width
    trace["mode"] = "lines+markers"
    trace["marker"] = {"size": 8 if name == "winner" else 4, "color": colour}
    trace["opacity"] = 0.55 if name == "other trials" else 0.9
    return trace


def _scale(x: int, dimension: Dimension) -> list[dict[str, Any]]:
    if not dimension.options:
        return _ends(x, significant(dimension.low), significant(dimension.high))
    options = dimension.options
    return [
        _note(x, place / max(1, len(options) - 1), str(option), "left")
        for place, option in enumerate(options[:12])
    ]


def _ends(x: int, low: str, high: str) -> list[dict[str, Any]]:
    return [_note(x, -0.07, low, "center"), _note(x, 1.07, high, "center")]


def _note(x: int, y: float, text: str, anchor: str) -> dict[str, Any]:
    look = {"showarrow": False, "xanchor": anchor, "font": {"size": 11}}
    return {"x": x, "y": y, "text": label(text, 14), "xshift": 6 if anchor == "left" else 0, **look}
