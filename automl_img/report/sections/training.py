"""Did the winner overfit, and was it trained long enough?"""

from __future__ import annotations

import math
from typing import Any

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table
from automl_img.report.card import Card
from automl_img.report.drawing import BLUE, GREY, ORANGE, axis, line, number
from automl_img.report.rules_of_search import overfitting
from automl_img.trials import EpochResult

ORDER = 70
TITLE = "Training of the winner"


def build(card: Card) -> Section | Skipped:
    trial = card.best_trial
    history = card.winner.history if card.winner else ()
    epochs = trial.epochs if trial else ()
    if not epochs and not history:
        return Skipped(TITLE, "No trial has a training history.")
    blocks: list[Block] = []
    table = _table("table-training", "The winner's search trial, by epoch", epochs)
    if len(epochs) > 1:
        blocks += _search_trial(card, epochs, table)
    elif epochs:
        blocks.append(table)
    again = _table("table-retraining", "The retraining, by epoch", history)
    if len(history) > 1:
        blocks.append(_retraining(history, again))
    elif history:
        blocks.append(again)
    return Section(TITLE, "Did it overfit, and was it trained long enough?", tuple(blocks))


def _search_trial(card: Card, epochs: tuple[EpochResult, ...], table: Table) -> list[Block]:
    trial = card.best_trial
    best = trial.best if trial else None
    found = overfitting(card)
    x = [epoch.epoch for epoch in epochs]
    heading = found.text.split(". ")[0].rstrip(".") if found else _best_epoch(best, x[-1])
    marks = _marked(best.epoch) if best else {}
    caption = f"Trial {trial.number if trial else ''} of the search. "
    caption += "The dotted line marks its best epoch. Training images are augmented, so that "
    caption += "training accuracy can be the lower one."
    accuracy = Figure(
        "figure-training-accuracy",
        heading,
        caption,
        [
            _curve(x, [epoch.accuracy for epoch in epochs], "training", BLUE, "solid"),
            _curve(x, [epoch.val_accuracy for epoch in epochs], "validation", ORANGE, "dash"),
        ],
        {"xaxis": _epoch_axis(x), "yaxis": axis("accuracy"), **marks},
        table,
    )
    lowest = min(
        (epoch for epoch in epochs if epoch.val_loss is not None and math.isfinite(epoch.val_loss)),
        key=lambda epoch: epoch.val_loss or 0.0,
        default=None,
    )
    loss = Figure(
        "figure-training-loss",
        f"Validation loss was lowest in epoch {lowest.epoch} of {x[-1]}"
        if lowest
        else "No validation loss was a finite number",
        "Training loss includes regularisation, augmentation and label smoothing; validation "
        "loss is plain cross-entropy. So compare their shapes, not their heights.",
        [
            _curve(x, [epoch.loss for epoch in epochs], "training", BLUE, "solid"),
            _curve(x, [epoch.val_loss for epoch in epochs], "validation", ORANGE, "dash"),
        ],
        {"xaxis": _epoch_axis(x), "yaxis": axis("loss"), **marks},
    )
    return [accuracy, loss]


def _best_epoch(best: EpochResult | None, last: int) -> str:
    if best is None:
        return "No validation accuracy was measured"
    reached = number(best.val_accuracy)
    return f"Validation accuracy was highest in epoch {best.epoch} of {last}: {reached}"


def _retraining(history: tuple[EpochResult, ...], table: Table) -> Figure:
    x = [epoch.epoch for epoch in history]
    last = history[-1]
    return Figure(
        "figure-retraining",
        f"The retraining ended at a training accuracy of {number(last.accuracy)}",
        "The winner's hyperparameters, trained again from the start on training and validation "
        "images together; there is no validation curve, because no image is left for one.",
        [
            {
                **_curve(x, [epoch.accuracy for epoch in history], "training", BLUE, "solid"),
                "showlegend": False,
            }
        ],
        {"xaxis": _epoch_axis(x), "yaxis": axis("training accuracy")},
        table,
    )


def _curve(x: list[int], y: list[Any], name: str, colour: str, dash: str) -> dict[str, Any]:
    finite = [value if value is not None and math.isfinite(value) else None for value in y]
    shown = f"epoch %{{x}}, {name}: %{{y:.3f}}<extra></extra>"
    return line(list(x), finite, name, colour, dash=dash, hovertemplate=shown)


def _marked(epoch: int) -> dict[str, Any]:
    mark = {"type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper"}
    return {"shapes": [{**mark, "line": {"color": GREY, "dash": "dot", "width": 1.5}}]}


def _epoch_axis(x: list[int]) -> dict[str, Any]:
    return axis("epoch", dtick=1) if len(x) <= 12 else axis("epoch")


def _table(name: str, caption: str, epochs: tuple[EpochResult, ...]) -> Table:
    columns = ("Epoch", "Loss", "Accuracy", "Validation loss", "Validation accuracy", "Seconds")
    rows = tuple(
        (
            Cell(str(epoch.epoch), epoch.epoch),
            Cell(number(epoch.loss), epoch.loss),
            Cell(number(epoch.accuracy), epoch.accuracy),
            Cell(number(epoch.val_loss), epoch.val_loss),
            Cell(number(epoch.val_accuracy), epoch.val_accuracy),
            Cell(number(epoch.seconds, 1), epoch.seconds),
        )
        for epoch in epochs
    )
    return Table(name, caption, columns, rows, frozenset(columns), folded=True)
