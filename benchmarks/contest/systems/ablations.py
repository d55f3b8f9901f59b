"""automl-img without one of its parts, everything else as it is; see ``contest.ablated``."""

from __future__ import annotations

from dataclasses import dataclass

import frame

from contest.start import command
from contest.systems.ours import NAME, curve, search_arguments
from contest.task import System, Task

_BOTH = ("scratch", "transfer")
_TRANSFER = ("transfer",)


@dataclass(frozen=True)
class Ablation:
    """What is left out.

    Attributes:
        name: after "automl-img, ".
        part: of ``contest.ablated.PARTS``; None where an option of the command does it.
        options: of the command.
        tracks: where the part does something.
    """

    name: str
    part: str | None
    options: tuple[str, ...] = ()
    tracks: tuple[str, ...] = _BOTH


ABLATIONS = (
    Ablation("no start set", "start-set"),
    Ablation("no probes", "probes", tracks=_TRANSFER),
    Ablation("no graph reuse", "graphs"),
    Ablation("no feature cache", None, ("--feature-cache", "0"), _TRANSFER),
    Ablation("no ASHA", "asha"),
    Ablation("one ladder for all", "ladders", tracks=_TRANSFER),
)


def _system(ablation: Ablation) -> System:
    def start(task: Task) -> list[str]:
        program = [frame.program("automl-img")]
        if ablation.part is not None:
            program = frame.python("-m", "contest.ablated", ablation.part)
        return [*program, *search_arguments(task), *ablation.options]

    return System(
        f"{NAME}, {ablation.name}",
        start=start,
        predict=lambda task: command("ours", "predict", task),
        curve=curve,
        tracks=ablation.tracks,
        ablation=True,
    )


SYSTEMS = tuple(_system(ablation) for ablation in ABLATIONS)
