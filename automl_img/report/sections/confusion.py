"""What is mistaken for what?"""

from __future__ import annotations

from typing import Any

import numpy as np

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table, Text
from automl_img.report.card import Card
from automl_img.report.drawing import axis, counted, label, number

ORDER = 30
TITLE = "Confusion"
MOST_WITH_TEXT = 30
MOST_DRAWN = 200
LARGEST = 50


def build(card: Card) -> Section | Skipped:
    counts = card.test.confusion() if card.test else None
    if card.data.multi_label:
        return Skipped(TITLE, "Images may have several classes, so none is mistaken for another.")
    if card.test is None or counts is None:
        return Skipped(TITLE, "The run has no test result yet.")
    names = card.test.class_names
    mistakes = largest(counts)
    heading = _heading(mistakes, counts, names)
    table = _table(mistakes, counts, names)
    blocks: list[Block] = []
    if len(names) <= MOST_DRAWN:
        blocks.append(_figure(heading, counts, names, table, bool(card.thumbnails)))
    else:
        blocks += [Text(f"{heading}. With {len(names):,} classes a matrix cannot be read."), table]
    numbers = {"mistakes": int(counts.sum() - np.trace(counts))}
    return Section(TITLE, "What is mistaken for what?", tuple(blocks), numbers)


def largest(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """(true, predicted, images) of the mistakes, most images first, then by the size of the share.

    Args:
        counts: int, shape (classes, classes), true by predicted.
    """
    true, predicted = np.nonzero(counts)
    found = [
        (int(i), int(j), int(counts[i, j]))
        for i, j in zip(true.tolist(), predicted.tolist(), strict=True)
        if i != j
    ]
    support = counts.sum(axis=1)
    return sorted(found, key=lambda cell: (-cell[2], support[cell[0]], cell[0], cell[1]))


def _heading(
    mistakes: list[tuple[int, int, int]], counts: np.ndarray, names: tuple[str, ...]
) -> str:
    if not mistakes:
        return "No test image was mistaken"
    true, predicted, images = mistakes[0]
    total = int(counts[true].sum())
    if images == 1 and len(mistakes) > 1:
        return f"{len(mistakes)} mistakes, no two of them alike"
    return (
        f"The most frequent mistake: “{names[true]}” taken for “{names[predicted]}”, "
        f"{images} of {counted(total, 'image')}"
    )


def _table(
    mistakes: list[tuple[int, int, int]], counts: np.ndarray, names: tuple[str, ...]
) -> Table:
    support = counts.sum(axis=1)
    rows = tuple(
        (
            Cell(names[i]),
            Cell(names[j]),
            Cell(f"{images:,}", images),
            Cell(number(images / support[i]), float(images / support[i])),
        )
        for i, j, images in mistakes[:LARGEST]
    )
    columns = ("True class", "Taken for", "Images", "Share of the class")
    return Table(
        "table-confusion",
        f"Mistakes by pair of classes, the {LARGEST} most frequent"
        if len(mistakes) > LARGEST
        else "Mistakes by pair of classes",
        columns,
        rows,
        frozenset(columns[2:]),
        folded=True,
        left_out=max(0, len(mistakes) - LARGEST),
    )


def order_of_classes(counts: np.ndarray) -> list[int]:
    """Classes so that those often mistaken for each other stand side by side.

    A greedy chain: from the class with the most mistakes, always on to the unvisited class most
    often confused with the last one; by name order where nothing connects.
    """
    tangled = counts + counts.T
    np.fill_diagonal(tangled, 0)
    left = set(range(len(counts)))
    last = int(tangled.sum(axis=1).argmax())
    order = [last]
    left.discard(last)
    while left:
        last = max(left, key=lambda i: (tangled[last, i], -i))
        order.append(last)
        left.discard(last)
    return order


def _figure(
    heading: str, counts: np.ndarray, names: tuple[str, ...], table: Table, pictures: bool
) -> Figure:
    classes = len(names)
    large = classes > MOST_WITH_TEXT
    order = order_of_classes(counts.copy()) if large else list(range(classes))
    grid = counts[np.ix_(order, order)]
    named = [names[i] for i in order]
    labels = _unique([label(name, 18) for name in named])
    show_all = classes <= 60
    ticks = {"tickmode": "array", "tickvals": labels} if show_all else {"showticklabels": False}
    side = {"type": "category", "showgrid": False, "zeroline": False, **ticks}
    x = axis("predicted", **side, side="bottom", tickangle=0 if sum(map(len, named)) <= 60 else -45)
    y = axis("true", **side, autorange="reversed")
    caption = "Rows are true classes, columns predictions; each colour is a share of its row. "
    caption += "Right answers are blue, mistakes orange. "
    if large:
        caption += "Classes that are often confused stand together. "
    if pictures:
        caption += "Click a cell to see its images; the filters of “Predictions” do the same."
    return Figure(
        "figure-confusion",
        heading,
        caption,
        [_layer(grid, labels, large, right=right) for right in (True, False)],
        {"xaxis": x, "yaxis": y, "meta": {"names": named, "labels": labels}},
        table,
        height=int(min(900, max(340, 120 + 34 * classes))),
        wide=classes > 12,
        action="show-confusion" if pictures else "",
    )


def _unique(labels: list[str]) -> list[str]:
    """Labels that differ, for an axis that would put equal ones into one row."""
    seen: dict[str, int] = {}
    kept = []
    for text in labels:
        seen[text] = seen.get(text, 0) + 1
        kept.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return kept


def _layer(grid: np.ndarray, labels: list[str], large: bool, *, right: bool) -> dict[str, Any]:
    """One heat map: the diagonal, or the rest; cells without images stay empty."""
    colour = "0,122,184" if right else "245,65,0"
    shares = grid / np.maximum(1, grid.sum(axis=1, keepdims=True))
    diagonal = np.eye(len(grid), dtype=bool)
    mine = (diagonal if right else ~diagonal) & (grid > 0)
    shown = [
        [round(float(shares[i, j]), 4) if mine[i, j] else None for j in range(len(grid))]
        for i in range(len(grid))
    ]
    text = [
        [str(int(grid[i, j])) if mine[i, j] else "" for j in range(len(grid))]
        for i in range(len(grid))
    ]
    layer: dict[str, Any] = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": shown,
        "hoverongaps": False,
        "text": text,
        "zmin": 0,
        "zmax": 1 if right else max(0.25, float(np.max(np.where(diagonal, 0, shares)))),
        "colorscale": [[0, f"rgba({colour},0.16)"], [1, f"rgba({colour},0.85)"]],
        "showscale": False,
        "xgap": 0 if large else 2,
        "ygap": 0 if large else 2,
        "hovertemplate": "true %{y}, predicted %{x}: %{text} images, %{z:.1%} of the class"
        "<extra></extra>",
    }
    return layer if large else {**layer, "texttemplate": "%{text}"}
