"""The help of ``automl-img`` itself, drawn as Typer draws the help of each command.

Typer's own drawing imports parsers for Markdown and for tracebacks, which takes as long as all else
that ``automl-img --help`` does.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup


class Overview(TyperGroup):
    """The group of all commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the usage, what the program is for, its options and its commands."""
        console = Console(highlight=False)
        usage = Text.assemble(("Usage: ", "yellow"), (ctx.get_usage().partition(": ")[2], "bold"))
        console.print(Padding(usage, 1))
        console.print(Padding(self.help or "", (0, 1, 1, 1)))
        options = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx)]
        console.print(_panel("Options", [row for row in options if row is not None]))
        commands = [(name, command.get_short_help_str(200)) for name, command in self._shown(ctx)]
        console.print(_panel("Commands", commands))

    def _shown(self, ctx: Any) -> list[tuple[str, Any]]:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, command) for name, command in found if command and not command.hidden]


def _panel(title: str, rows: list[tuple[str, str]]) -> Panel:
    table = Table(show_header=False, box=None, pad_edge=False, expand=True, padding=(0, 1))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(ratio=1)
    for name, about in rows:
        table.add_row(Text(name), Text(about))
    return Panel(table, title=title, title_align="left", border_style="dim")
