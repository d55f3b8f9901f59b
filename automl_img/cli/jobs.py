"""``automl-img jobs``: searches that were sent to a Ray cluster."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.table import Table

from automl_img.cli.output import data, note, plain, say
from automl_img.cli.search import say_result
from automl_img.cli.submit import HERE, Address, To, hear

app = typer.Typer(no_args_is_help=True, help="Look after searches that were sent to a cluster.")
_Id = Annotated[str, typer.Argument(help="The job's name, as jobs list shows it.")]


@app.command("list")
def list_(address: Address = None) -> None:
    """List the jobs that were sent to a cluster: what they run, how they stand."""
    from automl_img import api

    found = api.list_jobs(address=address, listener=hear)
    if not found:
        note("there is no job of automl-img; start one with: automl-img submit")
        return
    table = Table("job", "status", "started", "run", "command", box=None)
    for job in found:
        when = "-" if job.started is None else _time(job.started)
        table.add_row(*map(plain, (job.id, job.status.lower(), when, job.run, job.command)))
    data.print(table)


@app.command()
def logs(
    job: _Id,
    address: Address = None,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Show what is there, and do not wait for more.")
    ] = False,
) -> None:
    """Show what a job has printed, and follow it until it is over. Ctrl-C leaves the job alone."""
    from automl_img import api

    if no_follow:
        for line in api.job_log(job, address=address, listener=hear).splitlines():
            say(line)
        return
    try:
        api.follow_job(job, show=say, address=address, listener=hear)
    except KeyboardInterrupt:
        note("left; the job goes on")
        raise typer.Exit(130) from None


@app.command()
def stop(job: _Id, address: Address = None) -> None:
    """Stop a job. What it has trained is kept: submit -- resume goes on with it."""
    from automl_img import api

    stopped = api.stop_job(job, address=address, listener=hear)
    say(f"{stopped.id} is {stopped.status.lower()}; its run is {stopped.where}")


@app.command()
def fetch(job: _Id, address: Address = None, out: To = HERE) -> None:
    """Bring the run of a job that is over to this machine, without checkpoints of its trials."""
    from automl_img import api

    run = api.fetch_job(job, out=out, address=address, listener=hear)
    if run.report.exists():
        say_result(api.verdict(run), run)
    else:
        say(f"Run:     {run.path}")


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
