"""Is the average of several models better than the winner alone?"""

from __future__ import annotations

from automl_img.report.blocks import Cell, Section, Skipped, Table, Text
from automl_img.report.card import Card, right_ones
from automl_img.report.drawing import DASH, counted, number, percent
from automl_img.report.statistics import mcnemar, paired_difference
from automl_img.report.verdict import family

ORDER = 115
TITLE = "Ensemble"


def build(card: Card) -> Section | Skipped:
    ensemble = card.ensemble
    if ensemble is None:
        why = "it was not asked for (--ensemble N), or no average was better, or there was no time"
        return Skipped(TITLE, f"The search made no ensemble: {why}.")
    models = Table(
        "table-ensemble",
        "The winner alone and the ensemble, on the same test images",
        ("Model", "Test accuracy", "95 %", "Log loss"),
        tuple(
            (
                Cell(name),
                Cell(number(scores.accuracy), scores.accuracy),
                Cell(f"{scores.interval[0]:.3f} to {scores.interval[1]:.3f}"),
                Cell(number(scores.number("log_loss")), scores.number("log_loss")),
            )
            for name, scores in (("winner", card.test), ("ensemble", ensemble.test))
            if scores is not None
        ),
        frozenset(("Test accuracy", "Log loss")),
    )
    trials = {trial.number: trial for trial in card.trials}
    members = Table(
        "table-members",
        "Its members, as they were after their best epoch on the training images alone",
        ("Trial", "Model", "Weight", "Parameters"),
        tuple(
            (
                Cell(str(place), place),
                Cell(family(trials[place].params) if place in trials else DASH),
                Cell(percent(weight), weight),
                Cell(_parameters(trials[place].parameters if place in trials else None)),
            )
            for place, weight in ensemble.members
        ),
        frozenset(("Weight", "Parameters")),
    )
    text, numbers = _compared(card)
    question = "Is the average of several models better than the winner alone?"
    return Section(TITLE, question, (Text(text), models, members), numbers)


def _compared(card: Card) -> tuple[str, dict[str, object]]:
    """What the test images say, and the same as numbers."""
    ensemble = card.ensemble
    assert ensemble is not None  # ``build`` asked.
    many = counted(len(ensemble.members), "model")
    both = card.predictions, ensemble.predictions
    numbers: dict[str, object] = {"members": [list(member) for member in ensemble.members]}
    cost = (
        f"It runs {many} for each image. Its members were chosen on the validation images, so what "
        "it reaches there proves nothing; model.keras is the winner, ensemble.keras the ensemble."
    )
    order = ensemble.test.number("mean_average_precision")
    if order is not None and card.test is not None:
        of_winner = card.test.number("mean_average_precision")
        numbers |= {"mean_average_precision": order}
        return (
            f"The mean average precision on the test images is {number(order)}, that of the winner "
            f"{number(of_winner)}. {cost}",
            numbers,
        )
    if both[0] is None or both[1] is None or len(both[0].labels) != len(both[1].labels):
        return cost, numbers
    alone = right_ones(both[0], card.test)
    together = right_ones(both[1], ensemble.test)
    gain, low, high = paired_difference(together, alone, seed=0)
    p = mcnemar(int((together & ~alone).sum()), int((alone & ~together).sum()))
    numbers |= {"gain": gain, "interval": [low, high], "p": p}
    clear = "cannot be told apart from the winner" if p >= 0.05 else "differs from the winner"
    return (
        f"The ensemble {clear} on the test images: {gain:+.3f} in accuracy (95 %: {low:+.3f} to "
        f"{high:+.3f}, McNemar p = {p:.2g}). {cost}",
        numbers,
    )


def _parameters(count: int | None) -> str:
    return f"{count:,}" if count else DASH
