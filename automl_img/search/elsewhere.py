"""What other drivers of the same study have done."""

from __future__ import annotations

from dataclasses import dataclass

from automl_img.trials import Params


@dataclass(frozen=True)
class Elsewhere:
    """A trial of another driver of the same study.

    Attributes:
        key: below 0 and its own, where trials of this run have their numbers.
        run: the name of the run that it is in.
        number: there.
        values: of the objective, after each epoch.
        score: for the race of families, once it has ended; None where it says nothing.
    """

    key: int
    run: str
    number: int
    params: Params
    values: tuple[float, ...]
    score: float | None
