"""``automl-img doctor``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from automl_img.cli.arguments import RUNS, Address, Out
from automl_img.cli.output import data, quiet_libraries, say, write_json

if TYPE_CHECKING:
    from automl_img.search.cluster import Node


def doctor(
    address: Address = None,
    out: Out = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what would stop a search here, or on the nodes of a Ray cluster.

    Lists nodes with their CPUs, GPUs, memory, caches and versions; exit code 1 if something would
    stop a search.
    """
    from automl_img import api

    with quiet_libraries():
        found = api.doctor(address or "local", out=out)
    if as_json:
        write_json(dataclasses.asdict(found))
        raise typer.Exit(bool(found.troubles))
    table = Table("node", "CPUs", "GPUs", "memory free", "cache", "differs in", box=None)
    for node in found.nodes:
        table.add_row(*(escape(cell) for cell in _row(node, found.versions)))
    data.print(table)
    say("")
    say("Here:      " + ", ".join(f"{name} {value}" for name, value in found.versions.items()))
    missing = [f"automl-img[{extra}]" for extra, there in found.extras.items() if not there]
    if missing:
        say(f"Optional:  {', '.join(missing)} would add to it (docs/data.md)")
    for sentence in found.warnings:
        say(f"Mind:      {sentence}")
    for sentence in found.troubles:
        say(f"Trouble:   {sentence}")
    if not found.troubles:
        say("Nothing would stop a search.")
    raise typer.Exit(bool(found.troubles))


def _row(node: Node, here: dict[str, str]) -> tuple[str, ...]:
    gpus = ", ".join(node.gpu_names) or str(node.gpus or "none")
    others = [f"{name} {of}" for name, of in node.versions.items() if of != here.get(name)]
    return (
        node.name,
        str(node.cores or "none"),
        gpus,
        f"{node.memory_bytes / 1e9:.1f} GB",
        f"{node.cache}, {node.cache_bytes / 1e9:.1f} GB free"
        if node.cache_bytes
        else "not writable",
        ", ".join(others) or "nothing",
    )
