"""Which labels are probably wrong?"""

from __future__ import annotations

from automl_img.report.blocks import Block, Cell, Section, Skipped, Table, Text
from automl_img.report.card import Card
from automl_img.report.drawing import counted, number, percent

ORDER = 55
TITLE = "Suspected labels"
_LISTED = 50


def build(card: Card) -> Section | Skipped:
    found = card.label_errors
    if card.data.multi_label:
        return Skipped(TITLE, "Wrong labels are not looked for where images have several classes.")
    if found is None:
        return Skipped(
            TITLE,
            "Nobody looked for wrong labels: pip install 'automl-img[labels]' before a search.",
        )
    if not found.images:
        return Skipped(TITLE, "There are no predictions of images that a model has not seen.")
    if found.suspected is None:
        agreed = percent(found.accuracy or 0.0)
        return Skipped(
            TITLE,
            f"The models agree with {agreed} of the labels, too few to tell a wrong label from a "
            "mistake of theirs.",
        )
    text = (
        f"Of {counted(found.images, 'image')} that the models had not trained on, "
        f"{found.suspected:,} ({percent(found.suspected / found.images)}) have a label that is "
        "probably wrong. A model errs too: look at them before you change one."
    )
    blocks: list[Block] = [Text(text)]
    if found.shown:
        blocks.append(_table(card))
    numbers = {"images": found.images, "suspected": found.suspected}
    return Section(TITLE, "Which labels are probably wrong?", tuple(blocks), numbers)


def _table(card: Card) -> Table:
    assert card.label_errors is not None
    shown, suspected = card.label_errors.shown, card.label_errors.suspected or 0
    columns = ("Image", "Part", "Label", "More probable", "Probability of the label")
    rows = tuple(
        (
            Cell(each.name),
            Cell(each.part),
            Cell(card.class_name(each.label)),
            Cell(card.class_name(each.more_probable)),
            Cell(number(each.probability, 4), each.probability),
        )
        for each in shown[:_LISTED]
    )
    return Table(
        "table-labels",
        "The most suspicious ones",
        columns,
        rows,
        frozenset(columns[4:]),
        left_out=max(0, suspected - len(rows)),
    )
