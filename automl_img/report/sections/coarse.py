"""How good is it at the coarser classes?"""

from __future__ import annotations

from automl_img.report.blocks import Block, Cell, Section, Skipped, Table, Text, Tile, Tiles
from automl_img.report.card import Card
from automl_img.report.drawing import DASH, counted, interval, number, percent, share
from automl_img.report.facts import Scores

ORDER = 42
TITLE = "Coarser classes"
_SCORES = (
    ("balanced_accuracy", "Balanced accuracy", "mean recall of the coarser classes"),
    ("macro_f1", "F1", "macro: every coarser class counts the same"),
)


def build(card: Card) -> Section | Skipped:
    values = card.test.values.get("coarse") if card.test else None
    if card.test is None or not values:
        return Skipped(TITLE, "No two coarser classes were named, see --coarse-column.")
    coarse = Scores.read(values)
    accuracy = f"{interval(coarse.interval)}, {coarse.correct:,} of {coarse.images:,} right"
    tiles = [Tile("Accuracy", coarse.accuracy, share(coarse.accuracy), accuracy)]
    for key, name, meaning in _SCORES:
        value, bounds = coarse.number(key), coarse.bounds(key)
        detail = f"{interval(bounds)}, {meaning}" if bounds else meaning
        tiles.append(Tile(name, value, share(value) if value is not None else DASH, detail))
    blocks: list[Block] = [Tiles(tuple(tiles)), Text(_mistakes(card.test, coarse)), _table(coarse)]
    many = counted(len(coarse.class_names), "coarser class", "coarser classes")
    question = f"How good is it at the {many}, which are as probable as their classes together?"
    numbers = {"accuracy": coarse.accuracy, "within": values.get("within")}
    return Section(TITLE, question, tuple(blocks), numbers)


def _mistakes(test: Scores, coarse: Scores) -> str:
    within = coarse.number("within")
    if within is None:
        return "Every test image was given the right class."
    return (
        f"Of {counted(test.images - test.correct, 'test image')} with a wrong class "
        f"{percent(within)} were given one of the right coarser class."
    )


def _table(coarse: Scores) -> Table:
    columns = ("Coarser class", "Classes", "Test images", "Precision", "Recall", "Recall, 95 %")
    place = list(coarse.values.get("coarse_of_class") or ())
    rows = tuple(
        (
            Cell(str(row["name"])),
            Cell(f"{place.count(at):,}", place.count(at)),
            Cell(f"{row['support']:,}", row["support"]),
            Cell(number(row.get("precision")), row.get("precision")),
            Cell(number(row.get("recall")), row.get("recall")),
            Cell(interval((row.get("recall_low"), row.get("recall_high")), 2) or DASH),
        )
        for at, row in enumerate(coarse.values.get("per_class") or ())
    )
    numeric = frozenset(columns[1:])
    return Table("table-coarse", "Scores of every coarser class", columns, rows, numeric, True)
