"""``automl-img spaces``: look at search spaces, check them, write new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from automl_img.cli.output import data, say

app = typer.Typer(no_args_is_help=True, help="Look at search spaces, check them, write new ones.")


@app.command("list")
def list_() -> None:
    """List the presets that ship."""
    from automl_img import api

    table = Table("name", "searches", "for", box=None)
    for preset in api.list_spaces():
        table.add_row(preset.name, f"{preset.searched} hyperparameters", preset.description)
    data.print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="A preset or a YAML file.")]) -> None:
    """Show every hyperparameter of a space: its range or value, and when it counts."""
    from automl_img import api

    space = api.load_space(name)
    table = Table("hyperparameter", "range or value", "where", box=None)
    for dimension in sorted(space.dimensions, key=lambda d: d.name not in space.searched):
        style = "bold" if dimension.name in space.searched else "dim"
        where = " and ".join(condition.describe() for condition in dimension.when)
        table.add_row(dimension.name, dimension.describe(), where, style=style)
    data.print(table)


@app.command()
def validate(file: Annotated[Path, typer.Argument(help="A YAML file.")]) -> None:
    """Check a space file; says what is wrong with it, if anything."""
    from automl_img import api

    space = api.load_space(str(file))
    say(f"{file} is valid: {len(space.searched)} hyperparameters are searched")


@app.command()
def new(file: Annotated[Path, typer.Argument(help="The YAML file to write.")]) -> None:
    """Write a commented space to edit."""
    from automl_img import api

    say(f"wrote {api.new_space(file)}; use it with: automl-img search DATA --space {file}")
