"""What a search over a million images needs of memory, phase by phase.

A million generated images of 16 by 16 pixels in ten class folders go through `automl-img search`
with one trial of one epoch: index, audit, split, pixel cache, trial, retraining, test, export,
report. Ten times a second the memory of its process and of each process below it is read (anonymous
pages: files that are mapped can be dropped at any time), and the most of each phase is kept.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import frame
import psutil

GOAL = "no process holds more than 4 kB for each image beyond 1.5 GB, at a million images"
_IMAGES, _FEW = 1_000_000, 20_000
_BYTES_AN_IMAGE, _BYTES_ALONE = 4_000, 1_500_000_000
_EVERY = 0.1
_TIME = re.compile(r"^\[[^\]]*\] ")
_SEARCH = (
    *("--space", "cnn_small", "--budget", "1", "--max-epochs", "1", "--workers", "1"),
    *("--fix", "batch_size=1024", "--fix", "cnn.depth=1", "--fix", "cnn.filters=8"),
    *("--fix", "cnn.convolutions=1", "--fix", "augment.strength=0", "--seed", "0"),
)


def main() -> None:
    short = frame.asked_short(__doc__)
    images = _FEW if short else _IMAGES
    with frame.workspace() as folder:
        began = time.perf_counter()
        frame.noise(folder / "data", images)
        print(f"{images:,} images written in {time.perf_counter() - began:.0f} s", flush=True)
        command = [sys.executable, "-m", "automl_img", "search", str(folder / "data"), *_SEARCH]
        environment = {**os.environ, "AUTOML_IMG_CACHE": str(folder / "cache")}
        phases = _watched([*command, "--out", str(folder / "runs")], environment)
    figures: dict[str, float | int | str | bool] = {"images": images}
    most = 0.0
    for name, (seconds, driver, others) in phases.items():
        figures[f"{name}: seconds"] = round(seconds, 1)
        figures[f"{name}: MB of the driver"] = round(driver / 1e6)
        figures[f"{name}: MB of the largest other process"] = round(others / 1e6)
        most = max(most, driver, others)
    figures["the most of one process, MB"] = round(most / 1e6)
    allowed = _BYTES_ALONE + _BYTES_AN_IMAGE * images
    frame.finish("million", figures, GOAL, most <= allowed, short)


def _watched(
    command: list[str], environment: dict[str, str]
) -> dict[str, tuple[float, float, float]]:
    """By phase: seconds, and the most bytes of the driver and of another process.

    Raises:
        RuntimeError: the command failed.
    """
    lines: list[tuple[float, str]] = []
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    phases: dict[str, tuple[float, float, float]] = {}
    name, since = "starting", time.perf_counter()
    while process.poll() is None:
        driver, others = _held(process.pid)
        current = _phase([line for _, line in lines]) or "starting"
        now = time.perf_counter()
        if current != name:
            name, since = current, now
        seconds, most, most_other = phases.get(name, (0.0, 0.0, 0.0))
        phases[name] = (max(seconds, now - since), max(most, driver), max(most_other, others))
        time.sleep(_EVERY)
    reader.join()
    if process.returncode:
        raise RuntimeError("\n".join(line for _, line in lines[-15:]))
    return phases


def _read(stream: Iterator[str], lines: list[tuple[float, str]]) -> None:
    for line in stream:
        lines.append((time.perf_counter(), line.rstrip()))
        print(line, end="", flush=True)


def _phase(lines: list[str]) -> str:
    """The last phase that was announced, up to its first number: such lines end with points."""
    said = [line.removesuffix(" ...") for line in lines if line.endswith(" ...")]
    return re.split(r"[0-9,]", _TIME.sub("", said[-1]))[0].strip() if said else ""


def _held(pid: int) -> tuple[float, float]:
    """Bytes of anonymous memory of a process, and of the largest one below it."""
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return 0.0, 0.0
    return _anonymous(pid), max((_anonymous(each.pid) for each in below), default=0.0)


def _anonymous(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return 1024.0 * int(found[1]) if found else 0.0


if __name__ == "__main__":
    main()
