"""Is the data the limit?"""

from __future__ import annotations

from collections.abc import Sequence

from automl_img.report.blocks import Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card
from automl_img.report.drawing import BLUE, ORANGE, VIOLET, axis, counted, label
from automl_img.report.facts import SPLITS

ORDER = 65
TITLE = "Data"
MOST_DRAWN = 40
_COLOURS = {"train": BLUE, "validation": ORANGE, "test": VIOLET}


def build(card: Card) -> Section | Skipped:
    counts = {
        split: card.data.class_counts[split]
        for split in SPLITS
        if card.data.class_counts.get(split)
    }
    names = card.data.class_names
    if not counts or any(len(row) != len(names) for row in counts.values()):
        return Skipped(TITLE, "The run did not record how many images each class has.")
    images = sum(map(sum, counts.values()))
    if card.data.multi_label:
        images = sum(card.data.splits.values())
    question = f"Is the data the limit? {counted(images, 'image')} in "
    question += f"{counted(len(names), 'class', 'classes')}"
    if card.data.left_out:
        question += f"; {counted(card.data.left_out, 'image')} left out, see left_out.jsonl"
    found = (_audit(card.data.audit),) if card.data.audit else ()
    return Section(TITLE, question + ".", (*found, _balance(counts, names)))


def _audit(found: Sequence[tuple[str, str]]) -> Table:
    rows = tuple((Cell(severity), Cell(sentence)) for severity, sentence in found)
    return Table("table-audit", "What was found before the search", ("Severity", "Finding"), rows)


def _balance(counts: dict[str, tuple[int, ...]], names: tuple[str, ...]) -> Figure:
    totals = [sum(row[i] for row in counts.values()) for i in range(len(names))]
    order = sorted(range(len(names)), key=lambda i: (totals[i], names[i]))
    drawn = order if len(order) <= MOST_DRAWN else order[:20] + order[-5:]
    places = list(range(len(drawn)))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": split,
            "x": [row[i] for i in drawn],
            "y": places,
            "marker": {"color": _COLOURS[split]},
            "hovertemplate": f"%{{x}} {split} images<extra></extra>",
        }
        for split, row in counts.items()
    ]
    columns = ("Class", *counts, "all")
    rows = tuple(
        (
            Cell(names[i]),
            *(Cell(f"{row[i]:,}", row[i]) for row in counts.values()),
            Cell(f"{totals[i]:,}", totals[i]),
        )
        for i in range(len(names))
    )
    few, many = totals[order[0]], totals[order[-1]]
    heading = f"Classes have {few:,} to {many:,} images"
    if few == many:
        heading = f"Every class has {counted(few, 'image')}"
    caption = "Images of each class, the smallest class first; from left to right: "
    caption += f"{', '.join(counts)}."
    if len(drawn) < len(names):
        caption += f" The 20 smallest and 5 largest of {len(names)}."
    return Figure(
        "figure-balance",
        heading,
        caption,
        data,
        {
            "barmode": "stack",
            "bargap": 0.3,
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "traceorder": "normal",
            },
            "xaxis": axis("images"),
            "yaxis": axis(
                "",
                tickvals=places,
                ticktext=[label(names[i], 22) for i in drawn],
                autorange="reversed",
            ),
        },
        Table("table-balance", "Images of each class", columns, rows, frozenset(columns[1:]), True),
        height=max(260, 120 + 24 * len(drawn)),
    )
