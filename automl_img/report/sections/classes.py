"""Where is it weak, and do we know that?"""

from __future__ import annotations

from typing import Any

from automl_img.report.blocks import Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card
from automl_img.report.drawing import (
    BLUE,
    DASH,
    GREY,
    VIOLET,
    axis,
    counted,
    interval,
    label,
    number,
)

ORDER = 40
TITLE = "Per class"
MOST_DRAWN = 40
WORST, BEST = 20, 5


def build(card: Card) -> Section | Skipped:
    rows = card.test.values.get("per_class") if card.test else None
    if card.test is None or not rows:
        return Skipped(TITLE, "The run has no test result yet.")
    present = sorted(
        (row for row in rows if row.get("recall") is not None),
        key=lambda row: (row["recall"], -row["support"], row["name"]),
    )
    if not present:
        return Skipped(TITLE, "No class has test images.")
    drawn = present if len(present) <= MOST_DRAWN else present[:WORST] + present[-BEST:]
    # Of images with several classes the accuracy says something else than a recall.
    overall = card.test.accuracy if card.test.thresholds is None else None
    figure = _figure(present[0], drawn, overall, len(present), _table(rows))
    numbers = {"worst": present[0]["name"], "worst_recall": present[0]["recall"]}
    return Section(TITLE, "Where is it weak, and do we know that?", (figure,), numbers)


def _figure(
    worst: dict[str, Any],
    drawn: list[dict[str, Any]],
    overall: float | None,
    classes: int,
    table: Table,
) -> Figure:
    drawn = drawn[::-1]
    places = list(range(len(drawn)))
    names = [label(row["name"], 22) for row in drawn]
    recall = [row["recall"] for row in drawn]
    bounds = [interval((row["recall_low"], row["recall_high"]), 2) for row in drawn]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "recall, 95 % interval",
            "x": recall,
            "y": places,
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [row["recall_high"] - row["recall"] for row in drawn],
                "arrayminus": [row["recall"] - row["recall_low"] for row in drawn],
                "thickness": 1.5,
                "width": 3,
                "color": BLUE,
            },
            "marker": {"color": BLUE, "size": 9},
            "customdata": [
                [a, b, row["support"]] for a, b, row in zip(names, bounds, drawn, strict=True)
            ],
            "hovertemplate": "%{customdata[0]}: recall %{x:.3f} (%{customdata[1]}), "
            "%{customdata[2]} images<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "precision",
            "x": [row["precision"] for row in drawn],
            "y": places,
            "marker": {"color": VIOLET, "size": 9, "symbol": "diamond-open", "line": {"width": 2}},
            "customdata": names,
            "hovertemplate": "%{customdata}: precision %{x:.3f}<extra></extra>",
        },
    ]
    line = {"type": "line", "x0": overall, "x1": overall, "y0": 0, "y1": 1, "yref": "paper"}
    layout = {
        "xaxis": axis("share", range=[-0.02, 1.02], tickformat=".1f"),
        "yaxis": axis("", tickvals=places, ticktext=names, range=[-0.7, len(drawn) - 0.3]),
        "shapes": [{**line, "line": {"color": GREY, "dash": "dot", "width": 1.5}, "layer": "below"}]
        if overall is not None
        else [],
    }
    caption = "Recall: how many images of the class were recognised. Precision: how many images "
    caption += "that were said to be of the class are. "
    caption += "The dotted line is the accuracy over all. " if overall is not None else ""
    if len(drawn) < classes:
        caption += f"The {WORST} weakest and {BEST} strongest of {classes} classes. "
    caption += "Where intervals overlap widely, the order of classes may be chance."
    height = 110 + 26 * len(drawn)
    return Figure("figure-classes", _heading(worst), caption, data, layout, table, max(260, height))


def _heading(worst: dict[str, Any]) -> str:
    if worst["recall"] == 1:
        return "Every test image of every class was recognised"
    bounds = interval((worst["recall_low"], worst["recall_high"]), 2)
    images = counted(worst["support"], "test image")
    return f"“{worst['name']}” has the lowest recall: {worst['recall']:.2f} ({bounds}, {images})"


def _table(rows: list[dict[str, Any]]) -> Table:
    several = any("threshold" in row for row in rows)
    more = ("Average precision", "Threshold") if several else ()
    columns = ("Class", "Test images", "Precision", "Recall", "Recall, 95 %", "F1", *more)
    cells = tuple(
        (
            Cell(str(row["name"])),
            Cell(f"{row['support']:,}", row["support"]),
            Cell(number(row.get("precision")), row.get("precision")),
            Cell(number(row.get("recall")), row.get("recall")),
            Cell(interval((row.get("recall_low"), row.get("recall_high")), 2) or DASH),
            Cell(number(row.get("f1")), row.get("f1")),
            *(_of_several(row) if several else ()),
        )
        for row in rows
    )
    numeric = frozenset(columns[1:])
    return Table("table-classes", "Scores of every class", columns, cells, numeric, folded=True)


def _of_several(row: dict[str, Any]) -> tuple[Cell, Cell]:
    """What is told of a class only where images may have several."""
    precision, threshold = row.get("average_precision"), row.get("threshold")
    return Cell(number(precision), precision), Cell(number(threshold), threshold)
