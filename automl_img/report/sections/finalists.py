"""Is the winner really better, and is there a cheaper equal?"""

from __future__ import annotations

from automl_img.report.blocks import Block, Cell, Section, Skipped, Table, Text
from automl_img.report.card import Card
from automl_img.report.drawing import DASH, counted, number
from automl_img.report.finalists import Finalist, finalists
from automl_img.report.verdict import family

ORDER = 110
TITLE = "Finalists"


def build(card: Card) -> Section | Skipped:
    found = finalists(card)
    why = _why(card)
    question = "Is the winner really better, and is there a cheaper equal?"
    if len(found) < 2:
        missing = "The run kept no validation predictions of two of its best trials."
        return Section(TITLE, question, (Text(why),)) if why else Skipped(TITLE, missing)
    images = len(card.finalists[found[0].trial.number].labels)
    equal = [item for item in found[1:] if not item.separable]
    text = (
        f"{counted(len(equal), 'finalist')} cannot be told apart from the winner on these "
        f"{counted(images, 'validation image')}. The winner was chosen on the same images, so "
        "“cannot be told apart” can be trusted, and “better” cannot."
    )
    columns = (
        "Trial",
        "Model",
        "Validation accuracy",
        "Winner ahead by",
        "95 %",
        "p",
        "Parameters",
        "ms per image",
    )
    table = Table(
        "table-finalists",
        "The best trials; paired bootstrap and exact McNemar test on the same images",
        columns,
        tuple(_row(item) for item in found),
        frozenset(columns[2:]),
    )
    blocks: list[Block] = [*([Text(why)] if why else []), Text(text), table]
    if seeds := _seeds(card):
        blocks.append(seeds)
    return Section(TITLE, question, tuple(blocks))


def _why(card: Card) -> str:
    """Why the winner won, in sentences; empty where that was not recorded."""
    winner = card.winner
    if winner is None or not winner.reason:
        return ""
    text = f"Trial {winner.number} won: {winner.reason}."
    if not winner.retrained:
        text += (
            " There was no time to train it again on the validation images too, so the exported "
            "model is the one of the trial."
        )
    return text


def _seeds(card: Card) -> Table | None:
    """The finalists that were trained from several seeds, the best mean first."""
    scores = card.winner.scores if card.winner else {}
    if not scores:
        return None
    means = {number: sum(each) / len(each) for number, each in scores.items()}
    columns = ("Trial", "Mean", "From each seed")
    return Table(
        "table-seeds",
        "Validation accuracy of the finalists from several seeds",
        columns,
        tuple(
            (
                Cell(str(place), place),
                Cell(number(means[place]), means[place]),
                Cell(", ".join(number(each) for each in scores[place])),
            )
            for place in sorted(means, key=lambda place: (-means[place], place))
        ),
        frozenset(("Mean",)),
    )


def _row(item: Finalist) -> tuple[Cell, ...]:
    trial = item.trial
    gap, low, high = item.ahead
    own = (Cell(DASH), Cell(DASH), Cell(DASH))
    compared = (
        Cell(f"{gap:+.3f}", gap),
        Cell(f"{low:+.3f} to {high:+.3f}"),
        Cell(number(item.p), item.p),
    )
    return (
        Cell(f"{trial.number} ★ winner" if item.winner else str(trial.number), trial.number),
        Cell(family(trial.params)),
        Cell(number(item.accuracy), item.accuracy),
        *(own if item.winner else compared),
        Cell(f"{trial.parameters:,}" if trial.parameters else DASH, trial.parameters),
        Cell(number(trial.ms_per_image, 2), trial.ms_per_image),
    )
