"""Show me: test images with what was said about them."""

from __future__ import annotations

import base64
import struct

import numpy as np

from automl_img.labels import are_sets
from automl_img.metrics import confidence
from automl_img.report.blocks import Cell, Gallery, Picture, Section, Skipped, Table
from automl_img.report.card import Card, right_ones
from automl_img.report.drawing import counted, number

ORDER = 50
TITLE = "Predictions"
GROUPS = {"mistake": "mistakes", "unsure": "right, but unsure", "random": "right, at random"}
LISTED = 50


def build(card: Card) -> Section | Skipped:
    if card.predictions is None:
        return Skipped(TITLE, "The run kept no predictions on test images.")
    question = "What does a mistake look like, and what does a right answer?"
    if not card.thumbnails:
        return Section(TITLE, f"{question} No images were kept.", (_names(card),))
    pictures = tuple(_picture(card, row) for row in _ordered(card))
    groups = {key: name for key, name in GROUPS.items() if key in set(card.groups.values())}
    shown = {picture.true for picture in pictures} | {picture.predicted for picture in pictures}
    classes = tuple(name for name in card.classes if name in shown)
    if card.data.multi_label:
        classes = tuple(sorted(shown))
    return Section(
        TITLE,
        f"{question} {counted(len(pictures), 'test image')}: the most confident mistakes, the "
        "right answers with the least confidence, and right answers drawn at random.",
        (Gallery(pictures, groups, classes),),
    )


def _ordered(card: Card) -> list[int]:
    """Mistakes first, the most confident first; then unsure ones, the least confident first."""
    sure = _confidence(card) if card.predictions else np.zeros(0)
    rank = {group: place for place, group in enumerate(GROUPS)}

    def place(row: int) -> tuple[int, float, int]:
        group = card.groups[row]
        own = float(sure[row])
        return rank[group], {"mistake": -own, "unsure": own}.get(group, 0.0), row

    return sorted(card.thumbnails, key=place)


def _picture(card: Card, row: int) -> Picture:
    predictions = card.predictions
    assert predictions is not None
    probabilities = predictions.probabilities[row]
    best = np.argsort(-probabilities, kind="stable")[:3].tolist()
    content = card.thumbnails[row]
    return Picture(
        row=row,
        source="data:image/webp;base64," + base64.b64encode(content).decode(),
        side=_longest_side(content),
        name=predictions.names[row],
        true=card.true(row),
        predicted=card.said(row),
        group=card.groups[row],
        likely=tuple((card.class_name(i), float(probabilities[i])) for i in best),
    )


def _confidence(card: Card) -> np.ndarray:
    """See ``automl_img.metrics.confidence``."""
    predictions = card.predictions
    assert predictions is not None
    thresholds = card.test.thresholds if card.test else None
    return confidence(predictions.probabilities, predictions.labels, thresholds)


def _longest_side(webp: bytes) -> int:
    """Pixels of a WebP picture's longer side, so that small ones are enlarged by whole factors.

    Source: https://developers.google.com/speed/webp/docs/riff_container.
    """
    kind = webp[12:16]
    if kind == b"VP8 " and len(webp) >= 30:
        width, height = (int(side) for side in struct.unpack("<HH", webp[26:30]))
        return max(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and len(webp) >= 25:
        bits = int.from_bytes(webp[21:25], "little")
        return max((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return 160


def _names(card: Card) -> Table:
    predictions = card.predictions
    assert predictions is not None
    sure = _confidence(card)
    wrong = np.flatnonzero(~right_ones(predictions, card.test))
    ranked = wrong[np.argsort(-sure[wrong], kind="stable")].tolist()
    rows = tuple(
        (
            Cell(predictions.names[row] or f"image {row}"),
            Cell(card.true(row)),
            Cell(card.said(row)),
            Cell(number(float(sure[row]), 2), float(sure[row])),
        )
        for row in ranked[:LISTED]
    )
    measure = "Beyond the threshold" if are_sets(predictions.labels) else "Probability"
    columns = ("Image", "True", "Predicted", measure)
    left_out = max(0, len(ranked) - LISTED)
    caption = "The most confident mistakes"
    return Table("table-mistakes", caption, columns, rows, frozenset(columns[3:]), False, left_out)
