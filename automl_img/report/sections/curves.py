"""How well do the probabilities put each class before the others?"""

from __future__ import annotations

from typing import Any

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card
from automl_img.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    ROSE,
    VIOLET,
    axis,
    counted,
    label,
    line,
    share,
)

ORDER = 45
TITLE = "ROC and precision-recall"
RARE = 0.1
_LOOKS = ((ORANGE, "dash"), (VIOLET, "dot"), (ROSE, "dashdot"))


def build(card: Card) -> Section | Skipped:
    found = card.test.values.get("curves") if card.test else None
    if card.test is None or not found or not found.get("classes"):
        return Skipped(TITLE, "The run kept no curves of its test images.")
    worst = [{**one, "name": card.class_name(one["index"])} for one in found["classes"]]
    blocks: list[Block] = [_roc(found, worst, len(card.classes))]
    rarest = min(row["support"] / card.test.images for row in _present(card))
    if rarest < RARE:
        blocks.append(_precision_recall(found, worst, len(card.classes)))
    numbers = {"average_precision": found["average_precision"]}
    question = "How well do the probabilities put the images of a class before all others?"
    return Section(TITLE, question, tuple(blocks), numbers)


def _present(card: Card) -> list[dict[str, Any]]:
    rows = card.test.values.get("per_class") if card.test else None
    return [row for row in rows or () if row["support"]] or [{"support": 1e9}]


def _roc(found: dict[str, Any], worst: list[dict[str, Any]], classes: int) -> Figure:
    first = worst[0]
    heading = f"“{first['name']}” has the smallest area under its ROC curve: {share(first['auc'])}"
    if first["auc"] == 1:
        heading = "Some threshold separates every class from all others without a mistake"
    elif classes == 2:
        heading = f"The area under the ROC curve of “{first['name']}” is {share(first['auc'])}"
    chance = line([0, 1], [0, 1], "chance", GREY, dash="longdash", hoverinfo="skip")
    return Figure(
        "figure-roc",
        heading,
        "Share of the class that is found, against the share of all other images that are taken "
        "for it, over all thresholds. " + _which(classes, len(worst)),
        [chance, *_curves(found, worst, "roc", classes)],
        {
            "xaxis": axis("false-positive rate", range=[-0.02, 1.02]),
            "yaxis": axis("true-positive rate", range=[-0.02, 1.04]),
        },
        _table(worst),
    )


def _precision_recall(found: dict[str, Any], worst: list[dict[str, Any]], classes: int) -> Figure:
    mean = share(found["average_precision"])
    return Figure(
        "figure-precision-recall",
        f"Average precision is {mean}" + ("" if classes == 2 else " in the mean of the classes"),
        "Precision that can be reached at each recall. Where a class is rare, this tells more than "
        "the ROC curve. " + _which(classes, len(worst)),
        _curves(found, worst, "pr", classes),
        {
            "xaxis": axis("recall", range=[-0.02, 1.02]),
            "yaxis": axis("precision", range=[-0.02, 1.04]),
        },
    )


def _which(classes: int, worst: int) -> str:
    if classes == 2:
        return ""
    return f"The mean of all classes, and the {counted(worst, 'class', 'classes')} worst at it."


def _curves(
    found: dict[str, Any], worst: list[dict[str, Any]], kind: str, classes: int
) -> list[dict[str, Any]]:
    shown = "%{x:.2f}, %{y:.3f}<extra></extra>"
    grid = found["grid"]
    mean = [] if classes == 2 else [line(grid, found[kind], "mean", BLUE, hovertemplate=shown)]
    looks = ((BLUE, "solid"),) if classes == 2 else _LOOKS
    return [
        *mean,
        *(
            line(grid, one[kind], label(one["name"], 18), colour, dash=dash, hovertemplate=shown)
            for one, (colour, dash) in zip(worst, looks, strict=False)
        ),
    ]


def _table(worst: list[dict[str, Any]]) -> Table:
    columns = ("Class", "Test images", "Area under ROC", "Average precision")
    rows = tuple(
        (
            Cell(one["name"]),
            Cell(f"{one['images']:,}", one["images"]),
            Cell(share(one["auc"]), one["auc"]),
            Cell(share(one["average_precision"]), one["average_precision"]),
        )
        for one in worst
    )
    caption = "The classes with the smallest areas"
    return Table("table-curves", caption, columns, rows, frozenset(columns[1:]), folded=True)
