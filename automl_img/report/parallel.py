"""Parallel coordinates as plain lines; Plotly's own need WebGL and a laxer script policy."""

from __future__ import annotations

from typing import Any

from automl_img.report.blocks import Figure
from automl_img.report.card import Card, reached
from automl_img.report.drawing import BLUE, DASH, GREY, ORANGE, label, line, number, significant
from automl_img.report.facts import Dimension
from automl_img.trials import TrialRecord


def parallel_coordinates(card: Card, dimensions: list[Dimension], all_of_them: int) -> Figure:
    """One line a trial over ``dimensions``, the first of ``all_of_them``, to what it reached."""
    ranked = sorted(card.usable, key=reached, reverse=True)
    best = card.best_trial
    top = [trial for trial in ranked[: max(2, len(ranked) // 5)] if trial != best]
    rest = [trial for trial in ranked if trial not in top and trial != best]
    values = [reached(trial) for trial in ranked]
    span = (min(values), max(values))
    groups = [
        ("other trials", rest, GREY, 1.0, "solid"),
        ("best fifth", top, BLUE, 1.8, "solid"),
        ("winner", [best] if best else [], ORANGE, 3.0, "solid"),
    ]
    data = [_polylines(dimensions, span, *group) for group in groups if group[1]]
    places = list(range(len(dimensions) + 1))
    names = [label(_short(d.name), 16) for d in dimensions]
    notes = [note for x, d in enumerate(dimensions) for note in _scale(x, d)]
    notes += _ends(len(dimensions), number(span[0]), number(span[1]))
    caption = (
        f"One line a trial, from its hyperparameters to its {card.search.measure} at the right. "
    )
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
                "ticktext": [*names, card.search.measure.removeprefix("validation ")],
                "range": [-0.35, len(dimensions) + 0.35],
                "side": "top",
                "automargin": True,
                **hidden,
                "showgrid": True,
            },
            "yaxis": {"visible": False, "range": [-0.12, 1.12], **hidden},
            "annotations": notes,
            "legend": {"orientation": "h", "x": 0, "y": -0.02, "yanchor": "top"},
        },
        height=420,
        wide=True,
    )


def _short(name: str) -> str:
    """``optimizer.learning_rate`` as ``learning rate``, ``optimizer.name`` as ``optimizer``."""
    parts = name.split(".")
    return parts[-2 if parts[-1] == "name" and len(parts) > 1 else -1].replace("_", " ")


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
        own.append((reached(trial) - span[0]) / reach if reach > 0 else 0.5)
        x += [*range(len(own)), None]
        y += [None if place is None else round(place, 4) for place in own] + [None]
        shown = [significant(trial.params.get(d.name, DASH)) for d in dimensions]
        texts = [*shown, number(reached(trial))]
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
