"""``automl-img submit``: a search on a Ray cluster that this machine is none of the nodes of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

from automl_img.cli.arguments import RUNS
from automl_img.cli.options import takes_settings
from automl_img.cli.output import note, plain, say, talk
from automl_img.cli.search import say_result
from automl_img.events import Event, Notice

Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The dashboard of the head. [default: RAY_API_SERVER_ADDRESS or RAY_ADDRESS, else "
        "http://127.0.0.1:8265]",
    ),
]
To = Annotated[Path, typer.Option(metavar="PATH", help="The folder that the run is brought into.")]
HERE = Path(RUNS)
# Given the address, starts the job; Typer looks at the types of what it calls.
_Start = Callable[[str | None], Any]


def submit(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND", help="What to run there: search or resume, and what goes with it."
        ),
    ],
    address: Address = None,
    to: To = HERE,
    no_fetch: Annotated[
        bool, typer.Option("--no-fetch", help="Leave the run where it is when it is done.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait for the job; say its name.")
    ] = False,
) -> None:
    """Search on a Ray cluster with the code that runs here, and bring the run back.

    Options of submit come before COMMAND, which may follow after --. Ctrl-C leaves the job alone
    and says how to come back to it.
    """
    from automl_img import api

    job = _asked(command)(address)
    option = f" --address {address}" if address else ""
    note(f"the job {job.id} runs {job.command}; its run is {job.where}")
    if detach:
        say(job.id)
        return
    try:
        api.follow_job(job.id, show=show, address=address)
        if no_fetch:
            say(f"{job.id} is done; its run: automl-img jobs fetch {job.id}{option}")
            return
        note("fetching the run ...")
        run = api.fetch_job(job.id, out=to, address=address)
    except KeyboardInterrupt:
        note(
            f"left; the job goes on. Come back to it: automl-img jobs logs {job.id}{option}; stop "
            f"it: automl-img jobs stop {job.id}{option}; get its run when it is done: automl-img "
            f"jobs fetch {job.id}{option}"
        )
        raise typer.Exit(130) from None
    say_result(api.verdict(run), run)


def show(line: str) -> None:
    """One line of what a job prints."""
    talk.print(plain(line), soft_wrap=True)


def hear(event: Event) -> None:
    """What the connection to a head tells."""
    if isinstance(event, Notice):
        note(f"note: {event.text}")


@takes_settings
def _search(settings: dict[str, Any]) -> _Start:
    """Search on the head; the options are those of automl-img search."""
    from automl_img import api

    return lambda address: api.submit_search(address=address, listener=hear, **settings)


def _resume(
    run: Annotated[str, typer.Argument(help="The run's name or URL.")],
    budget: Annotated[
        str | None,
        typer.Option(help="What is added (+30, +1h, +500epochs), or the new whole (80, 3h)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Trials at a time. [default: as before]")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The folder of all run folders on the head, or its URL.")
    ] = None,
) -> _Start:
    """Go on with a run on the head."""
    from automl_img import api

    return lambda address: api.submit_resume(
        run, address=address, out=out, budget=budget, workers=workers, listener=hear
    )


def _asked(words: list[str]) -> _Start:
    """How to start what was typed; wrong options are found here, not on the head.

    Raises:
        typer.Exit: the help was asked for, and shown.
    """
    inner = typer.Typer(add_completion=False, rich_markup_mode="rich")
    inner.command("search")(_search)
    inner.command("resume")(_resume)
    if words[0] not in ("search", "resume"):
        raise typer.BadParameter(f"a cluster runs search and resume, but got {words[0]!r}")
    found = get_command(inner).main(words, prog_name="automl-img submit --", standalone_mode=False)
    if not callable(found):
        raise typer.Exit(0)
    start: _Start = found
    return start
