"""The options of a search, which several commands take."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from automl_img.cli.arguments import TRIAL, Address
from automl_img.cli.output import note

Result = TypeVar("Result")
_SPACE, _MODEL, _DATA = "The space", "The model", "The data"


def takes_settings(command: Callable[[dict[str, Any]], Result]) -> Callable[..., Result]:
    """``command`` with the options of a search in place of the settings that it is called with.

    The settings are those typed, over those of ``automl-img.toml``; without data in either, it says
    which are taken.
    """

    @functools.wraps(command)
    def with_options(**typed: Any) -> Result:
        asked = {key: value for key, value in typed.items() if value is not None}
        for key in ("search", "fix"):
            if key in asked:
                asked[key] = pairs(asked[key], f"--{key}")
        return command(_settings(asked))

    # What Typer reads to make the options.
    with_options.__dict__["__signature__"] = inspect.signature(_search_options, eval_str=True)
    with_options.__annotations__ = _search_options.__annotations__
    del with_options.__wrapped__
    return with_options


def _search_options(
    data: Annotated[
        str | None,
        typer.Argument(
            help="A folder of class folders, a table, a zip or tar, a URL, or a built-in name."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Trials (50), time for everything (2h, 30m) or 500epochs. [default: 50]"),
    ] = None,
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
        typer.Option(help="tpe, random or grid. [default: tpe]", rich_help_panel=TRIAL),
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUN",
            help="Try the best settings of this earlier run first, or of all: auto. Repeatable.",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Keep the study on a server, as postgresql://user@host/database. "
            "[default: in the run folder]",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    join: Annotated[
        str | None,
        typer.Option(
            metavar="STUDY",
            help="Work on the study that the run of this name began there.",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(help="The most that one trial trains. [default: 30]", rich_help_panel=TRIAL),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Trials at a time. [default: from the machine]", rich_help_panel=TRIAL),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            help="GPUs of one trial, fractions allowed. [default: 1 if there is one]",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    address: Address = None,
    class_weights: Annotated[
        str | None,
        typer.Option(
            help="balanced or none, against imbalance. [default: none]", rich_help_panel=TRIAL
        ),
    ] = None,
    trial_timeout: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="End a trial that does nothing for so long; 0 waits. [default: 30m]",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    stop_when_stale: Annotated[
        bool | None,
        typer.Option(
            "--stop-when-stale",
            help="End the search when a third of the budget brought nothing better.",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="What trials are compared by: val_accuracy, val_balanced_accuracy, val_macro_f1, "
            "val_auc or val_loss, of several classes an image also val_map and val_jaccard; with "
            "latency, size or params a trade-off: val_accuracy,latency. [default: "
            "val_balanced_accuracy with rare classes, val_map with several, else val_accuracy]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The most that the model may take for an image here, as 20ms.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="The largest file of the model, as 10MB.", rich_help_panel=_MODEL
        ),
    ] = None,
    max_params: Annotated[
        str | None,
        typer.Option(metavar="COUNT", help="The most parameters, as 1M.", rich_help_panel=_MODEL),
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Average at most N models of the search into a second one.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    weights_dir: Annotated[
        str | None, typer.Option(help="Folder with ImageNet weights.", rich_help_panel=TRIAL)
    ] = None,
    max_disk: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Disk for checkpoints and weights of the trials. [default: 10GB]",
            rich_help_panel=TRIAL,
        ),
    ] = None,
    feature_cache: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Disk for kept outputs of frozen backbones, as 500MB; 0 keeps none. "
            "[default: 20GB]",
            rich_help_panel=TRIAL,
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
    keep_copies: Annotated[
        bool | None,
        typer.Option(
            "--keep-copies",
            help="Leave copies of images in every part, and count them all.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    path_column: Annotated[
        str | None, typer.Option(help="Column of a table.", rich_help_panel=_DATA)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of a table.", rich_help_panel=_DATA)
    ] = None,
    label_columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Columns of a table, one a class, of 1 and 0; images may have several classes.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    label_separator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Between the classes of an image that has several, in its label.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of a table.", rich_help_panel=_DATA)
    ] = None,
    coarse_column: Annotated[
        str | None,
        typer.Option(
            help="Column of a table: the coarser class of each class; scores at both levels.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Column of a table: what is alike in it (a patient, a scene) stays in one part.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of splits, suggestions and weights. [default: 0]")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The run's name. [default: data and time]")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="The folder of all run folders, or its URL (s3://, gs://). [default: runs]"
        ),
    ] = None,
) -> None:
    """Declares what may be asked of a search."""


def _settings(asked: dict[str, Any]) -> dict[str, Any]:
    from automl_img.settings import DEFAULTS_FILE, folder_defaults, merged

    defaults = folder_defaults(Path.cwd())
    if "data" not in asked:
        if "data" in defaults:
            note(f"data: {defaults['data']}, from {DEFAULTS_FILE}")
        else:
            note("data: the built-in digits; name a folder of class folders to use your own images")
    return merged(defaults, asked)


def pairs(typed: list[str], option: str) -> dict[str, str]:
    """``["a=1", "b=2"]`` as a dictionary.

    Raises:
        typer.BadParameter: an item has no ``=``.
    """
    found = {}
    for item in typed:
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise typer.BadParameter(f"{option} must be KEY=VALUE, but got {item!r}")
        found[key.strip()] = value.strip()
    return found
