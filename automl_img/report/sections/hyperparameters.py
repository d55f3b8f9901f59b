"""Which hyperparameters mattered, and where were the good values?"""

from __future__ import annotations

from typing import Any

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card, reached
from automl_img.report.drawing import (
    BLUE,
    DASH,
    GREY,
    ORANGE,
    axis,
    label,
    number,
    percent,
    sentence_case,
    significant,
)
from automl_img.report.facts import Dimension
from automl_img.report.importance import FEWEST_TRIALS, Importance, importances
from automl_img.report.parallel import parallel_coordinates
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
    if used and found:
        blocks.append(_slice(card, used[0]))
    if used:
        blocks.append(parallel_coordinates(card, used[:MOST_AXES], len(used)))
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
    heading = f"“{first.name}” mattered most: {percent(first.share)} of the importance"
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


def _slice(card: Card, dimension: Dimension) -> Figure:
    """Accuracy over the values of one hyperparameter."""
    trials = [trial for trial in card.usable if dimension.name in trial.params]
    best = card.best_trial
    ran = [trial for trial in trials if trial in card.finished and trial != best]
    stopped = [trial for trial in trials if trial not in card.finished and trial != best]
    groups = [
        ("did not run to its end", stopped, GREY, "circle-open"),
        ("ran to its end", ran, BLUE, "circle"),
        ("winner", [best] if best in trials and best else [], ORANGE, "star"),
    ]
    top = max(trials, key=reached)
    heading = f"The best trial had {dimension.name} = {significant(top.params[dimension.name])}"
    scale: dict[str, Any] = {"type": "log"} if dimension.log else {}
    if dimension.options:
        texts = [label(option, 14) for option in dimension.options]
        scale = {"tickvals": list(range(len(texts))), "ticktext": texts}
    return Figure(
        "figure-slice",
        heading
        if dimension.numeric
        else f"{sentence_case(card.search.measure)} by “{dimension.name}”",
        "Each mark is a trial. Other hyperparameters differ too, so that a cloud without a shape "
        "says that this one alone decides little.",
        [_marks(dimension, *group) for group in groups if group[1]],
        {"xaxis": axis(label(dimension.name), **scale), "yaxis": axis(card.search.measure)},
    )


def _marks(
    dimension: Dimension, name: str, trials: list[TrialRecord], colour: str, symbol: str
) -> dict[str, Any]:
    values = [trial.params[dimension.name] for trial in trials]
    places: list[Any] = list(values)
    if dimension.options:
        places = [dimension.options.index(v) if v in dimension.options else None for v in values]
    texts = [
        f"trial {trial.number}: {label(significant(value))}"
        for trial, value in zip(trials, values, strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": places,
        "y": [reached(trial) for trial in trials],
        "text": texts,
        "hovertemplate": "%{text}, %{y:.3f}<extra></extra>",
        "marker": {"color": colour, "symbol": symbol, "size": 14 if symbol == "star" else 8},
    }
