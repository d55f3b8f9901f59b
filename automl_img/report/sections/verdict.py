"""How good, with what, at what cost? The page's template draws this one larger than the rest."""

from __future__ import annotations

import dataclasses

from automl_img.report.blocks import Section, Text
from automl_img.report.card import Card
from automl_img.report.verdict import verdict

ORDER = 0


def build(card: Card) -> Section:
    found = verdict(card)
    numbers = {**dataclasses.asdict(found), "line": found.line}
    blocks = tuple(Text(note, alert=True) for note in card.notes)
    return Section("Verdict", "How good, with what, at what cost?", blocks, numbers)
