"""A search on the screen: one live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from automl_img.cli.progress import SearchProgress, duration
from automl_img.events import EpochEnded, Event, Listener, Notice, Phase, TrialEnded
from automl_img.space.dimensions import text
from automl_img.trials import Params, TrialRecord, Value

_OWN_PARAMS = 2
_COMMON_PARAMS = {
    "optimizer.name": "{}",
    "optimizer.learning_rate": "rate {}",
    "batch_size": "batch {}",
}


@contextmanager
def listening(console: Console) -> Iterator[Listener]:
    """A listener that shows what it hears on ``console`` as long as the block lasts."""
    progress = SearchProgress()
    if not console.is_terminal:
        yield _Lines(console, progress).hear
        return
    panel = _LivePanel(progress)
    with Live(panel, console=console, refresh_per_second=4, transient=True) as live:

        def hear(event: Event) -> None:
            progress.hear(event)
            if isinstance(event, Notice):
                live.console.print(f"[yellow]![/] {escape(event.text)}")

        yield hear


class _Lines:
    """One line for each phase, notice and ended trial."""

    def __init__(self, console: Console, progress: SearchProgress) -> None:
        self._console = console
        self._progress = progress

    def hear(self, event: Event) -> None:
        progress = self._progress
        progress.hear(event)
        match event:
            case Phase(words):
                self._print(f"{words} ...")
            case Notice(words):
                self._print(f"note: {words}")
            case TrialEnded(record):
                self._print(trial_line(record, progress))
            case EpochEnded(None, result):
                self._print(f"retraining: epoch {result.epoch}, loss {result.loss:.3f}")
            case _:
                pass

    def _print(self, words: str) -> None:
        stamp = duration(self._progress.elapsed)
        self._console.print(escape(f"[{stamp:>6}] {words}"), soft_wrap=True)


class _LivePanel:
    """The panel, drawn anew from the counts at each refresh."""

    def __init__(self, progress: SearchProgress) -> None:
        self._progress = progress

    def __rich__(self) -> RenderableType:
        progress = self._progress
        lines: list[RenderableType] = [Text(progress.phase or "starting")]
        if progress.items is not None and progress.items[1] > 0:
            done, total = progress.items
            lines.append(_bar(done, total, f"{done:,} / {total:,}"))
        if progress.search is not None:
            lines.append(_bar(progress.share, 1.0, trials_line(progress)))
            lines += [Text(line) for line in running_lines(progress)]
            lines.append(Text(best_line(progress), style="bold green"))
        lines.append(Text(time_line(progress), style="dim"))
        return Panel(Group(*lines), title="automl-img search", title_align="left")


def _bar(done: float, total: float, words: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(ProgressBar(total=total, completed=done, width=28), Text(words))
    return grid


def trials_line(progress: SearchProgress) -> str:
    """``12 of 50 trials: 5 complete, 6 stopped early, 1 failed, 2 running``."""
    return (
        f"{done_of(progress)}: {progress.complete} complete, {progress.stopped} "
        f"stopped early, {progress.failed} failed, {len(progress.running)} running"
    )


def done_of(progress: SearchProgress) -> str:
    """``12 of 50 trials``, or ``12 trials in a budget of 5 min``."""
    if progress.search is None:
        return f"{progress.done} trials"
    budget = progress.search.budget
    if budget.trials is not None:
        return f"{progress.done} of {budget}"
    return f"{progress.done} trials in a budget of {budget}"


def running_lines(progress: SearchProgress) -> list[str]:
    """One line for each running trial."""
    most = progress.search.max_epochs if progress.search else 0
    lines = []
    for number, result in sorted(progress.running.items()):
        stand = f"epoch {result.epoch} of {most}, {result.objective:.3f}" if result else "starting"
        lines.append(f"trial {number} ({brief(progress.params[number])}): {stand}")
    return lines


def best_line(progress: SearchProgress) -> str:
    """The best objective so far, with its parameters."""
    if progress.best is None:
        return "best so far: none yet"
    number, result = progress.best
    return (
        f"best so far: {result.objective:.3f} by trial {number} at epoch {result.epoch} "
        f"({brief(progress.params[number])})"
    )


def time_line(progress: SearchProgress) -> str:
    """Epochs and time."""
    words = f"{duration(progress.elapsed)} elapsed"
    if progress.search is not None:
        rest = "" if progress.rest is None else f", about {duration(progress.rest)} of search left"
        words = f"{counts(progress)}; {words}{rest}"
    return words


def counts(progress: SearchProgress) -> str:
    """``120 epochs run, 60 saved, 8 graphs traced``; of graphs only where trials told."""
    words = f"{progress.epochs_run} epochs run, {progress.epochs_saved} saved"
    traced = progress.graphs_traced
    return words if traced is None else f"{words}, {traced} graphs traced"


def trial_line(record: TrialRecord, progress: SearchProgress) -> str:
    """One line for a trial that ended."""
    if record.best is None:
        gave = record.error or "no epoch"
    else:
        gave = f"{record.best.objective:.3f} after {len(record.epochs)} epochs"
    best = f"best {progress.best[1].objective:.3f}" if progress.best else "best: none yet"
    rest = "" if progress.rest is None else f", about {duration(progress.rest)} left"
    return (
        f"trial {record.number} {record.stop_reason}: {gave} ({brief(record.params)}); "
        f"{done_of(progress)}, {best}, {counts(progress)}{rest}"
    )


def brief(params: Params) -> str:
    """The backbone and what matters most beside it, in a line."""
    backbone = str(params.get("backbone", ""))
    own = [name for name in params if name.startswith(f"{backbone}.")][:_OWN_PARAMS]
    values = [f"{name.rpartition('.')[2]} {_short(params[name])}" for name in own]
    for name, words in _COMMON_PARAMS.items():
        if name in params:
            values.append(words.format(_short(params[name])))
    return ", ".join([backbone, *values])


def _short(value: Value) -> str:
    return f"{value:.2g}" if isinstance(value, float) else text(value)
