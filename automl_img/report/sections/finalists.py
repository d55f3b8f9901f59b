"""Is the winner really better, and is there a cheaper equal?"""

from __future__ import annotations

from automl_img.metrics import NAMES
from automl_img.report.blocks import Block, Cell, Section, Skipped, Table, Text
from automl_img.report.card import Card
from automl_img.report.drawing import DASH, counted, number
from automl_img.report.finalists import Finalist, finalists, objective_of
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
    tested = any(item.p is not None for item in found)
    columns = (
        "Trial",
        "Model",
        _titled(card),
        "Winner ahead by",
        "95 %",
        *(("p",) if tested else ()),
        "Parameters",
        "ms per image",
    )
    how = "paired bootstrap and exact McNemar test" if tested else "paired bootstrap"
    table = Table(
        "table-finalists",
        f"The best trials; {how} on the same images",
        columns,
        tuple(_row(item, tested) for item in found),
        frozenset(columns[2:]),
    )
    text = _told_apart(found, images)
    blocks: list[Block] = [*([Text(why)] if why else []), Text(text), table]
    if seeds := _seeds(card):
        blocks.append(seeds)
    return Section(TITLE, question, tuple(blocks))


def _titled(card: Card) -> str:
    """What the column of scores is: what the trials were compared by, with a capital letter."""
    measure = f"validation {NAMES[objective_of(card)]}"
    if objective_of(card) == "val_accuracy" and card.data.multi_label:
        measure += " (all classes right)"
    return f"{measure[0].upper()}{measure[1:]}"


def _told_apart(found: tuple[Finalist, ...], images: int) -> str:
    if any(item.ahead is None for item in found):
        return (
            f"Whether these {counted(images, 'validation image')} tell the finalists apart was not "
            "worked out, as it would take minutes."
        )
    equal = [item for item in found[1:] if not item.separable]
    return (
        f"{counted(len(equal), 'finalist')} cannot be told apart from the winner on these "
        f"{counted(images, 'validation image')}. The winner was chosen on the same images, so "
        "“cannot be told apart” can be trusted, and “better” cannot."
    )


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
        f"{_titled(card)} of the finalists from several seeds",
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


def _row(item: Finalist, tested: bool) -> tuple[Cell, ...]:
    trial = item.trial
    compared = [Cell(DASH), Cell(DASH)]
    if item.ahead is not None and not item.winner:
        gap, low, high = item.ahead
        compared = [Cell(f"{gap:+.3f}", gap), Cell(f"{low:+.3f} to {high:+.3f}")]
    if tested:
        compared.append(Cell(DASH) if item.winner else Cell(number(item.p), item.p))
    return (
        Cell(f"{trial.number} ★ winner" if item.winner else str(trial.number), trial.number),
        Cell(family(trial.params)),
        Cell(number(item.score), item.score),
        *compared,
        Cell(f"{trial.parameters:,}" if trial.parameters else DASH, trial.parameters),
        Cell(number(trial.ms_per_image, 2), trial.ms_per_image),
    )
