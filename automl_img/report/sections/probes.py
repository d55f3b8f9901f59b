"""Which backbones were tried first, what did that say, and what did it cost?"""

from __future__ import annotations

from automl_img.report.blocks import Cell, Section, Skipped, Table, Text
from automl_img.report.card import Card, reached
from automl_img.report.drawing import counted, duration, number, percent, sentence_case
from automl_img.report.verdict import family
from automl_img.trials import TrialRecord

ORDER = 85
TITLE = "Probes of pretrained backbones"


def build(card: Card) -> Section | Skipped:
    probes = [trial for trial in card.trials if trial.origin == "probe"]
    if not probes:
        return Skipped(TITLE, "The search probed no pretrained backbone.")
    ranked = sorted(probes, key=lambda trial: (-reached(trial), trial.number))
    spent = sum(map(_seconds, probes))
    every = sum(map(_seconds, card.trials))
    share = f", {percent(spent / every)} of the time of all trials" if every > 0 else ""
    text = (
        f"{counted(len(probes), 'linear probe')} on a part of the images took "
        f"{duration(spent)}{share}. They decide which backbone is tried first, and rule out none."
    )
    columns = ("Trial", "Backbone", sentence_case(card.search.measure), "Seconds")
    table = Table(
        "table-probes",
        "A linear classifier on the features of each backbone, the best first",
        columns,
        tuple(_row(trial) for trial in ranked),
        frozenset(columns[2:]),
    )
    numbers = {"probes": [trial.number for trial in ranked], "seconds": round(spent, 2)}
    question = "Which backbones were tried first, and what did that cost?"
    return Section(TITLE, question, (Text(text), table), numbers)


def _seconds(trial: TrialRecord) -> float:
    return trial.ended - trial.started


def _row(trial: TrialRecord) -> tuple[Cell, ...]:
    accuracy = reached(trial) if trial.best else None
    return (
        Cell(str(trial.number), trial.number),
        Cell(family(trial.params)),
        Cell(number(accuracy), accuracy),
        Cell(f"{_seconds(trial):.1f}", _seconds(trial)),
    )
