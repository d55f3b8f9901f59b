"""``automl-img search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from automl_img.cli.options import pairs
from automl_img.cli.output import note, quiet_libraries, say, talk

_SPACE, _TRIAL, _DATA = "The space", "The trials", "The data"


def search(
    data: Annotated[
        str | None,
        typer.Argument(help="A folder of class folders, a CSV, a zip or tar, or a built-in name."),
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Trials to run. [default: 50]")] = None,
    space: Annotated[
        str | None,
        typer.Option(help="A preset or a YAML file. [default: cnn]", rich_help_panel=_SPACE),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=RANGE",
            help="Search KEY: 16..64, 1e-4..1e-1:log or a,b,c. Repeatable.",
            rich_help_panel=_SPACE,
        ),
    ] = None,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Give KEY one value. Repeatable.", rich_help_panel=_SPACE
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="tpe, random or grid. [default: tpe]", rich_help_panel=_TRIAL),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(help="The most that one trial trains. [default: 30]", rich_help_panel=_TRIAL),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Trials at a time. [default: from the machine]", rich_help_panel=_TRIAL),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="GPUs of one trial, fractions allowed. [default: 1 if there is one]",
            rich_help_panel=_TRIAL,
        ),
    ] = None,
    class_weights: Annotated[
        str | None,
        typer.Option(
            help="balanced or none, against imbalance. [default: none]", rich_help_panel=_TRIAL
        ),
    ] = None,
    weights_dir: Annotated[
        str | None, typer.Option(help="Folder with ImageNet weights.", rich_help_panel=_TRIAL)
    ] = None,
    feature_cache: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Disk for kept outputs of frozen backbones, as 500MB; 0 keeps none. "
            "[default: 20GB]",
            rich_help_panel=_TRIAL,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side in pixels. [default: from the data]", rich_help_panel=_DATA),
    ] = None,
    limit_per_class: Annotated[
        int | None,
        typer.Option(
            help="At most N images a class and split, a seeded part.", rich_help_panel=_DATA
        ),
    ] = None,
    path_column: Annotated[
        str | None, typer.Option(help="Column of a table.", rich_help_panel=_DATA)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of a table.", rich_help_panel=_DATA)
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of a table.", rich_help_panel=_DATA)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of splits, suggestions and weights. [default: 0]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run's name. [default: data and time]")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The folder of all run folders. [default: runs]")
    ] = None,
) -> None:
    """Search for the best classifier of DATA, retrain it, test it once, export it and report it.

    DATA defaults to what automl-img.toml in this folder says, else to the built-in digits. Ctrl-C
    stops with the best so far; Ctrl-C again stops at once.
    """
    typed = dict(locals())
    asked: dict[str, Any] = {key: value for key, value in typed.items() if value is not None}
    for key in ("search", "fix"):
        if key in asked:
            asked[key] = pairs(asked[key], f"--{key}")

    from automl_img import api
    from automl_img.cli.listeners import listening
    from automl_img.settings import merged

    settings = merged(_defaults(asked), asked)
    try:
        with quiet_libraries(), listening(talk) as listener:
            run = api.search(listener=listener, **settings)
    except KeyboardInterrupt:
        note("stopped at once; trials that finished are kept, and automl-img report shows them")
        raise typer.Exit(130) from None
    _say_result(api.verdict(run), run)


def _defaults(asked: dict[str, Any]) -> dict[str, Any]:
    """Settings of ``automl-img.toml``; without data in it or on the command line, says so."""
    from automl_img.settings import DEFAULTS_FILE, folder_defaults

    defaults = folder_defaults(Path.cwd())
    if "data" not in asked:
        if "data" in defaults:
            note(f"data: {defaults['data']}, from {DEFAULTS_FILE}")
        else:
            note("data: the built-in digits; name a folder of class folders to use your own images")
    return defaults


def _say_result(verdict: Any, run: Any) -> None:
    say(verdict.line)
    if verdict.winner:
        say(f"Winner:  {verdict.winner}")
    say(f"Report:  {_short(run.report)}")
    if run.model.exists():
        say(f"Model:   {_short(run.model)}")


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter to type."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
