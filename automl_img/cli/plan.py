"""``automl-img plan``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from automl_img.cli.options import takes_settings
from automl_img.cli.output import data, note, quiet_libraries, say, talk
from automl_img.cli.progress import duration

if TYPE_CHECKING:
    from automl_img.search.plan import Plan, Range
    from automl_img.search.survey import Configuration


@takes_settings
def plan(settings: dict[str, Any]) -> None:
    """Say what a search of DATA will cost, without starting it.

    Measures some configurations on this machine, then says how many trials and epochs fit, when
    the search will end, what memory and disk it needs, what will not fit, and what to change.
    """
    from automl_img import api
    from automl_img.cli.listeners import listening

    try:
        with quiet_libraries(), listening(talk) as listener:
            found = api.plan(listener=listener, **settings)
    except KeyboardInterrupt:
        note("stopped; nothing is left of it but the prepared images")
        raise typer.Exit(130) from None
    _say(found)


def _say(plan: Plan) -> None:
    images = ", ".join(f"{count:,} {part}" for part, count in plan.images.items())
    say(f"Data:      {plan.data}, {images} images of {plan.image_size} pixels")
    workers = f"{plan.workers} worker{'s' if plan.workers != 1 else ''}"
    say(f"Budget:    {plan.budget}, {workers}")
    say(f"Duration:  about {_times(plan.seconds)}; started now, it ends at {_clock(plan)}")
    say(f"Trials:    about {_counts(plan.trials)}")
    say(f"Epochs:    about {_counts(plan.epochs)}, and about {plan.graphs:.0f} graphs to trace")
    say(f"Disk:      {_disk(plan)}")
    say("")
    data.print(_parts(plan))
    say("")
    data.print(_configurations(plan))
    for title, sentences in (("Will not fit", plan.misfits), ("To change", plan.advice)):
        for sentence in sentences:
            say(f"{title}: {sentence}")


def _parts(plan: Plan) -> Table:
    table = Table("part", "takes about", box=None)
    for name, seconds in plan.parts.items():
        table.add_row(escape(name), duration(seconds))
    return table


def _configurations(plan: Plan) -> Table:
    columns = ("backbone", "learns", "an epoch", "a new graph", "memory", "parameters")
    table = Table(*columns, box=None)
    for item in plan.configurations:
        table.add_row(*(escape(cell) for cell in _row(item)))
    return table


def _row(item: Configuration) -> tuple[str, ...]:
    low, high = item.epoch_seconds
    same = high < 1.1 * low
    memory = "not measured" if item.memory_bytes is None else f"{item.memory_bytes / 1e9:.1f} GB"
    return (
        item.backbone,
        item.learns,
        _brief(high) if same else f"{_brief(low)} to {_brief(high)}",
        _brief(item.graph_seconds),
        memory,
        f"{item.parameters[-1] / 1e6:.2f} M",
    )


def _brief(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _times(found: Range) -> str:
    return f"{duration(found.middle)} ({duration(found.low)} to {duration(found.high)})"


def _counts(found: Range) -> str:
    if round(found.low) == round(found.high):
        return f"{found.middle:.0f}"
    return f"{found.middle:.0f} ({found.low:.0f} to {found.high:.0f})"


def _clock(plan: Plan) -> str:
    form = "%H:%M" if plan.seconds.middle < 12 * 3600 else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(plan.ends))


def _disk(plan: Plan) -> str:
    parts = [f"{size / 1e6:,.0f} MB for {name}" for name, size in plan.disk.items() if size]
    return ", ".join(parts)
