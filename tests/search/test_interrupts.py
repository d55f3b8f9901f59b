"""What ends a search from outside: SIGTERM, as clusters and batch systems send it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from automl_img.runs import open_run

SMALL = ("--workers", "1", "--budget", "2", "--max-epochs", "2", "--limit-per-class", "20")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "trials"),
    # Ray sets what SIGTERM does as it starts, and again as it ends.
    [("trial 0 ", 1), ("exporting the model", 2)],
)
def test_sigterm_stops_at_once_whatever_ray_makes_of_it(
    tmp_path: Path, line: str, trials: int
) -> None:
    words = ["search", "digits", "--space", "cnn_small", *SMALL, "--name", "run"]
    search = subprocess.Popen(
        [sys.executable, "-m", "automl_img", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert search.stderr is not None
        assert any(line in said for said in search.stderr)
        search.send_signal(signal.SIGTERM)
        out, said = search.communicate(timeout=120)
    finally:
        search.kill()
        search.wait()
    assert search.returncode == 130
    assert "stopped at once" in said
    assert out == ""
    run = open_run(tmp_path / "runs" / "run")
    assert json.loads((run.path / "run.json").read_text())["status"] == "interrupted"
    assert len(run.trials()) >= trials
