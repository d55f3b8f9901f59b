"""How long the commands take that do little, against an import of their libraries.

Whole processes, start to exit: `automl-img --help`, `runs` and `report` alternate with
`python -c "import typer, rich"`, which is what any command line of these libraries pays. Beside
them, as it is no part of the goal, an empty Typer application: what these libraries cost once they
read an option or draw a help. The run that is listed and reported is a real search of two small
trials, made beforehand. `report` also writes its page; what that costs without any import is taken
in one warm process. Last, the time from the start of `automl-img search` to its first line.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import frame

GOAL = (
    "--help, runs and report at most 2 times `import typer, rich` each; "
    "the first line of a search within 1 s"
)
_MOST_TIMES = 2.0
_MOST_SECONDS = 1.0
_LONGEST_WAIT = 60.0
_LIBRARIES = 'python -c "import typer, rich"'
_EMPTY = "an empty Typer application"
_EMPTY_CODE = """
import typer
app = typer.Typer(add_completion=False, rich_markup_mode="rich")
@app.command("one")
def one(out: str = "runs"): print(out)
@app.command("two")
def two(): print()
app()
"""
# The page alone: every import is made by the first writing.
_PAGE_CODE = """
import sys, time
from automl_img.report.render import write_report
from automl_img.runs import find_run
from pathlib import Path
run = find_run("tiny", Path(sys.argv[1]))
write_report(run)
times = []
for _ in range(5):
    started = time.perf_counter()
    write_report(run)
    times.append(time.perf_counter() - started)
print(min(times))
"""


def main() -> None:
    short = frame.asked_short(__doc__)
    with frame.workspace() as folder:
        _search_beforehand(folder)
        times = frame.alternate(_work(folder), rounds=3 if short else 15)
        page = _seconds_of_page(folder)
        first_lines = frame.Times(
            tuple(_seconds_to_first_line(folder) for _ in range(2 if short else 7))
        )
    libraries = times[_LIBRARIES]
    figures: dict[str, float | int | str | bool] = {}
    commands = ("--help", "runs", "report")
    for name in commands:
        figures |= frame.in_ratios(f"{name} / import typer, rich", times[name], libraries)
    for name in (f"{_EMPTY}, --help", f"{_EMPTY}, one option"):
        figures[f"{name} / import typer, rich"] = round(times[name].over(libraries), 3)
    figures["report: its page alone, warm, seconds"] = round(page, 4)
    figures["search to its first line, seconds"] = round(first_lines.best, 3)
    figures["search to its first line, median, seconds"] = round(first_lines.median, 3)
    met = all(times[name].over(libraries) <= _MOST_TIMES for name in commands)
    frame.finish("startup", figures, GOAL, met and first_lines.median <= _MOST_SECONDS, short)


def _work(folder: Path) -> dict[str, Callable[[], object]]:
    """Each process that is timed, by its name."""
    ours = frame.program("automl-img")
    commands = {
        _LIBRARIES: frame.python("-c", "import typer, rich"),
        f"{_EMPTY}, --help": frame.python("-c", _EMPTY_CODE, "--help"),
        f"{_EMPTY}, one option": frame.python("-c", _EMPTY_CODE, "one", "--out", "x"),
        "--help": [ours, "--help"],
        "runs": [ours, "runs", "--out", str(folder)],
        "report": [ours, "report", "tiny", "--out", str(folder)],
    }
    return {name: partial(frame.wall, command) for name, command in commands.items()}


def _search_beforehand(folder: Path) -> None:
    """A finished run named "tiny" in ``folder``."""
    asked = ("--space", "cnn_small", "--budget", "2", "--max-epochs", "2", "--seed", "0")
    places = ("--out", str(folder), "--name", "tiny")
    frame.wall([frame.program("automl-img"), "search", "digits", *asked, *places])


def _seconds_of_page(folder: Path) -> float:
    done = subprocess.run(
        frame.python("-c", _PAGE_CODE, folder), capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _seconds_to_first_line(folder: Path) -> float:
    """From the start of a search to the first line that it prints, on either stream.

    The search is ended there, long before it starts Ray.
    """
    command = [frame.program("automl-img"), "search", "digits", "--out", str(folder)]
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                ready = selector.select(_LONGEST_WAIT)
            elapsed = time.perf_counter() - started
            if not ready or not process.stdout.readline().strip():
                raise RuntimeError(f"a search printed no line within {_LONGEST_WAIT:g} s")
            return elapsed
        finally:
            # Its own session, so nothing else is in the group.
            os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
