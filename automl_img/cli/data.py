"""``automl-img data``: look at images before a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from automl_img.cli.options import pairs
from automl_img.cli.output import data as shown
from automl_img.cli.output import note, plain, quiet_libraries, say, talk, write_json

if TYPE_CHECKING:
    from automl_img.data.audit import Audit

app = typer.Typer(no_args_is_help=True, help="Look at images before a search.")
_Data = Annotated[
    str,
    typer.Argument(
        help="A folder of class folders, a table, a zip or tar, a URL, or a built-in name."
    ),
]
_Limit = Annotated[
    int | None, typer.Option(help="At most N images a class and split, a seeded part.")
]
_Column = Annotated[str | None, typer.Option(help="Column of a table.")]
_Groups = Annotated[
    str | None, typer.Option(help="Column of a table: what is alike in it stays in one part.")
]
_Several = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Columns of a table, one a class, of 1 and 0.")
]
_Separator = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Between the classes of an image with several.")
]
_Coarse = Annotated[
    str | None, typer.Option(help="Column of a table: the coarser class of each class.")
]
_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_MOST_CLASSES = 20


@app.command()
def check(
    data: _Data,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the pictures.")
    ] = None,
    limit_per_class: _Limit = None,
    path_column: _Column = None,
    label_column: _Column = None,
    label_columns: _Several = None,
    label_separator: _Separator = None,
    coarse_column: _Coarse = None,
    split_column: _Column = None,
    group_column: _Groups = None,
    seed: Annotated[int, typer.Option(help="Of the splits.")] = 0,
) -> None:
    """Say what is wrong with the images of DATA: copies, conflicting labels, leaks into the test.

    Nothing is trained. Every image is decoded once, small; what was seen is kept for the next time.
    """
    from automl_img import api
    from automl_img.cli.listeners import listening

    columns = {"path_column": path_column, "label_column": label_column}
    columns |= {"label_columns": label_columns, "label_separator": label_separator}
    columns |= {"coarse_column": coarse_column}
    columns |= {"split_column": split_column, "group_column": group_column}
    asked = {**columns, "limit_per_class": limit_per_class}
    try:
        with quiet_libraries(), listening(talk) as listener:
            found = api.check_data(data, html=html, listener=listener, seed=seed, **asked)
    except KeyboardInterrupt:
        note("stopped; what was read is kept")
        raise typer.Exit(130) from None
    if json:
        write_json(found.to_json())
        return
    _say(found)
    if html is not None:
        say(f"Page:      {html}")


@app.command()
def preview(
    data: _Data,
    augment: Annotated[
        float, typer.Option(metavar="STRENGTH", help="Of the augmentation, 0 to 1.")
    ] = 0.5,
    fix: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Give augment.KEY one value. Repeatable."),
    ] = None,
    html: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("preview.html"),
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels. [default: from the data]")
    ] = None,
    limit_per_class: _Limit = None,
    path_column: _Column = None,
    label_column: _Column = None,
    label_columns: _Several = None,
    label_separator: _Separator = None,
    coarse_column: _Coarse = None,
    split_column: _Column = None,
    group_column: _Groups = None,
    seed: Annotated[int, typer.Option(help="Of the parts, the images and their changes.")] = 0,
) -> None:
    """Write a page of training images of DATA, as loaded and as trials see them.

    Images are decoded and changed by the code that training uses.
    """
    from automl_img import api
    from automl_img.cli.listeners import listening

    asked = {"image_size": image_size, "path_column": path_column, "seed": seed}
    asked |= {"label_column": label_column, "split_column": split_column}
    asked |= {"label_columns": label_columns, "label_separator": label_separator}
    asked |= {"group_column": group_column, "coarse_column": coarse_column}
    asked |= {"limit_per_class": limit_per_class}
    typed = pairs(fix or [], "--fix")
    with quiet_libraries(), listening(talk) as listener:
        page = api.preview_data(
            data, html=html, strength=augment, fix=typed, listener=listener, **asked
        )
    say(f"Page:      {page}")


def _say(audit: Audit) -> None:
    index = audit.index
    left = f", {len(index.left_out):,} left out" if index.left_out else ""
    say(f"Data:      {audit.name} ({audit.source}), {len(index):,} images{left}")
    say(f"Classes:   {len(index.class_names):,}")
    say(f"Sides:     {_sides(audit)}")
    if audit.unusable is not None:
        say("Parts:     none, as a search cannot begin on these images")
    _say_counts(audit)
    for finding in audit.findings:
        colour = _COLOURS[finding.severity]
        text = f"[{colour}]{finding.severity}:[/] {plain(finding.sentence)}"
        shown.print(text, soft_wrap=True)
    if not audit.findings:
        say("nothing was found that a search would have to know")


def _sides(audit: Audit) -> str:
    import numpy as np

    index = audit.index
    grey = f"; {int(index.grey.sum()):,} grey" if index.grey.any() else ""
    wide, high = (
        f"{int(sides.min())} to {int(sides.max())}, {int(np.median(sides))} in the median"
        for sides in (index.widths, index.heights)
    )
    return f"{wide}, wide; {high}, high{grey}"


def _say_counts(audit: Audit) -> None:
    sizes = [f"{len(rows):,}" for rows in audit.parts.values()]
    for what, counts in (("class", audit.counts), ("coarser class", audit.coarse_counts)):
        if not counts:
            continue
        table = Table(what, *counts, box=None)
        names = list(next(iter(counts.values())))
        for name in names[:_MOST_CLASSES]:
            table.add_row(plain(name), *(f"{of[name]:,}" for of in counts.values()))
        table.add_row("all", *sizes, style="bold")
        shown.print(table)
        if len(names) > _MOST_CLASSES:
            say(f"and {len(names) - _MOST_CLASSES:,} more {what}es; --json has all")
