"""Test accuracy at equal wall time, of automl-img and of what else a user could take.

Each cell is one system on one track with one seed: a process that is killed after five minutes,
imports and all; then what it left on the disk predicts the test images, which nobody has seen. On
both tracks all get the same images, the same split by seed, the same space (AutoKeras brings its
own) and the same maximum of epochs. "scratch" is CIFAR-10 with 4,000 images for training,
"transfer" a grocery data set at 96 pixels with the weights of `pretrain.py`. Cells run one at a
time, in a seeded random order, on an idle machine; what is there already is not run again, so that
it can be done in pieces. Every run is kept in `results/versus.json`; of a cell that was run again,
the table has the last one. Differences are paired by seed, with a bootstrap interval over the
seeds; a pair counts only if both had a machine of the same speed, so run all systems of a seed on
one: with --seed.

    python benchmarks/versus.py             all cells that are missing
    python benchmarks/versus.py --cells 3   the next three
    python benchmarks/versus.py --system automl-img --track scratch --seed 0 --again
    python benchmarks/versus.py --cells 0   the table of what is there
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import frame
import pretrain
from contest.cells import Outcome, as_json, run_cell
from contest.idle import MOST_LOAD, wait_until_idle
from contest.results import LARGEST_PART, OURS, Figures, latest, table
from contest.roster import all_systems
from contest.speed import gigaflops
from contest.task import System
from contest.tracks import SHARED, SMALL, TRACKS, Data, data_of

from automl_img.files import write_json

GOAL = (
    "in 5 minutes test accuracy above every other system on both tracks, the paired interval above "
    "0, and Hyperband's last validation accuracy within a fifth of its time"
)
NAME = "versus"
SEEDS = (0, 1, 2)
# Seconds of a cell, by the name of its form in the results.
FORMS = {"5 minutes": 300.0, "25 minutes": 1500.0}
_ORDER_SEED = 0
_SHORT_SECONDS = 60.0
_SHORT_SYSTEMS = (OURS, "one sensible default")
Cell = tuple[str, str, int]
Run = dict[str, Any]


def main() -> None:
    asked = _asked()
    frame.quiet()
    # As Ctrl-C does: the cell that is running ends with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if asked.short:
        _short()
        return
    form = "25 minutes" if asked.long else "5 minutes"
    systems, runs = all_systems(), kept_runs()
    chosen = [
        (system, track, seed)
        for system, track, seed in cells_of(systems)
        if asked.system in (None, system)
        and asked.track in (None, track)
        and asked.seed in (None, seed)
    ]
    todo = chosen if asked.again else missing(chosen, runs, form)
    todo = todo if asked.cells is None else todo[: asked.cells]
    refusal = why_not(todo)
    if refusal is not None:
        sys.exit(f"error: {refusal}")
    with frame.workspace() as folder:
        for place, cell in enumerate(todo):
            if not asked.anyway:
                # What ran just before is ours, and the load of the last minute still counts it.
                wait_until_idle(None if place else MOST_LOAD, _say)
            data = _data(cell, folder)
            _say(f"cell {place + 1} of {len(todo)}: {', '.join(map(str, cell))}")
            run = _run(cell, systems[cell[0]], form, data)
            runs.append(run)
            _keep(runs, systems)
            _say(f"  {run['accuracy']} on the test images, {run['ended']}, {run['error'] or ''}")
    result = result_of(runs, systems, form)
    _show(result)


def _asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, metavar="N", help="run the next N that are missing")
    parser.add_argument("--system", choices=sorted(all_systems()), metavar="NAME", help="this one")
    parser.add_argument("--track", choices=sorted(TRACKS), help="this one alone")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="this one alone")
    parser.add_argument("--long", action="store_true", help="25 minutes a cell, not 5")
    parser.add_argument("--again", action="store_true", help="run also cells that are there")
    parser.add_argument("--anyway", action="store_true", help="do not wait for an idle machine")
    parser.add_argument(
        "--short", action="store_true", help="see that it works, in minutes; keeps no result"
    )
    return parser.parse_args(arguments)


def cells_of(systems: dict[str, System]) -> list[Cell]:
    """All cells in the seeded random order in which they run; the ablations after the others."""
    cells = [
        (system.name, track, seed)
        for system in systems.values()
        for track in system.tracks
        for seed in SEEDS
    ]
    random.Random(_ORDER_SEED).shuffle(cells)
    return sorted(cells, key=lambda cell: systems[cell[0]].ablation)


def missing(cells: Sequence[Cell], runs: Sequence[Run], form: str) -> list[Cell]:
    """Those of ``cells`` that have no run of ``form``, in their order."""
    known = latest(runs, form)
    return [cell for cell in cells if cell not in known]


def why_not(todo: Sequence[Cell]) -> str | None:
    """A sentence that says what must be there before these cells can run; None where it is."""
    for name in sorted({track for _, track, _ in todo}):
        track = TRACKS[name]
        if track.archive is not None and not (SHARED / track.archive).exists():
            return f"the track {track.name} needs {track.archive} in ../shared/data"
        if track.pretrained and not pretrain.is_done(pretrain.weights_folder()):
            return f"the track {track.name} needs weights; make them with benchmarks/pretrain.py"
    return None


def kept_runs() -> list[Run]:
    """Every run so far."""
    path = frame.RESULTS / f"{NAME}.json"
    return json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []


def result_of(runs: Sequence[Run], systems: dict[str, System], form: str) -> dict[str, Any]:
    """The result of a benchmark, from all runs of ``form``; the goal is about five minutes."""
    cells, met = latest(runs, form), form == "5 minutes"
    figures: Figures = {"form": form}
    required = [cell for cell in cells_of(systems) if not systems[cell[0]].ablation]
    left = missing(required, runs, form)
    figures |= {"cells run": len(cells), "cells missing, ablations aside": len(left)}
    commits = sorted({run["commit"] for run in cells.values()})
    figures["commits"] = ", ".join(commits) or "none"
    for track in TRACKS:
        others = [name for name in systems if track in systems[name].tracks and name != OURS]
        rivals = [name for name in others if not systems[name].ablation]
        found, better = table(cells, track, rivals)
        parts, _ = table(cells, track, [name for name in others if name not in rivals])
        figures |= found | parts
        part = found.get(f"{track}: that in parts of its time", 1.0)
        met = met and better and not left and float(part) <= LARGEST_PART
    return {"name": NAME, "figures": figures, "goal": GOAL, "met": met}


def _run(cell: Cell, system: System, form: str, data: Data) -> Run:
    """One cell, with all that its figures depend on."""
    name, track, seed = cell
    weights = _weights() if TRACKS[track].pretrained else None
    speed = gigaflops()
    outcome = run_cell(
        system, track, seed, FORMS[form], data, None if weights is None else str(weights.parent)
    )
    about = {"form": form, "system": name, "track": track, "seed": seed}
    digest = None if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    return {
        **about,
        **as_json(outcome),
        "weights": digest,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "machine": frame.machine(),
        "gflops": speed,
    }


def _data(cell: Cell, folder: Path) -> Data:
    """The images of a cell, in a new folder; what was decoded once lies in the cache."""
    _, track, seed = cell
    return data_of(TRACKS[track], seed, folder / f"{track}-{seed}-{time.monotonic_ns()}")


def _keep(runs: Sequence[Run], systems: dict[str, System]) -> None:
    """Write all runs and what they say by now."""
    result = result_of(runs, systems, "5 minutes")
    frame.check(result)
    date = time.strftime("%Y-%m-%d", time.gmtime())
    known = {**result, "date": date, "machine": frame.machine(), "runs": list(runs)}
    write_json(frame.RESULTS / f"{NAME}.json", known)


def _show(result: dict[str, Any]) -> None:
    """Print the table, and as the last line the result as JSON."""
    frame.check(result)
    figures: Figures = result["figures"]
    width = max(map(len, figures))
    print(f"\n{NAME}")
    for key, value in figures.items():
        print(f"  {key:<{width}}  {value}")
    left = figures["cells missing, ablations aside"]
    state = "met" if result["met"] else "incomplete" if left else "NOT met"
    print(f"  goal: {GOAL}: {state}\n")
    print(json.dumps(result), flush=True)


def _short() -> None:
    """Two systems on a few small images; shows that cells run and are scored."""
    figures: Figures = {}
    outcomes: dict[str, Outcome] = {}
    with frame.workspace() as folder:
        data = data_of(SMALL, 0, folder / SMALL.name)
        for name in _SHORT_SYSTEMS:
            found = run_cell(all_systems()[name], SMALL.name, 0, _SHORT_SECONDS, data, None)
            outcomes[name] = found
            words = f"{found.accuracy}, {found.ended} after {found.seconds:.0f} s"
            figures[name] = f"{words}; {found.error}" if found.error else words
    # The goal is about the full form, which this is not.
    frame.finish(NAME, figures, GOAL, met=False, short=True)


def _weights() -> Path:
    return pretrain.weights_file(pretrain.weights_folder())


def _commit() -> str:
    """The commit of this checkout, with a plus where files differ from it."""
    git = ("git", "-C", str(frame.FOLDER))
    try:
        at = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run(
            # What this very script writes changes nothing.
            [*git, "status", "--porcelain", "--", "../automl_img", ".", ":!results"],
            capture_output=True,
            text=True,
        )
    except OSError:
        return "unknown"
    return at.stdout.strip() + ("+" if changed.stdout.strip() else "") or "unknown"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
