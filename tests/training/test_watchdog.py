from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from automl_img.errors import Hung
from automl_img.training.watchdog import FILE, Watchdog

# A library that never returns, and holds the lock of the interpreter meanwhile.
_HANGS = """
import ctypes, sys
from pathlib import Path
from automl_img.training.watchdog import WATCHDOG
WATCHDOG.begin(Path(sys.argv[1]), 0.5)
ctypes.PyDLL(None).usleep(60_000_000)
"""
_GOES_ON = """
import sys, time
from pathlib import Path
from automl_img.training.watchdog import WATCHDOG
WATCHDOG.begin(Path(sys.argv[1]), 0.5)
for _ in range(15):
    time.sleep(0.1)
    WATCHDOG.progress()
with WATCHDOG.paused():
    time.sleep(0.8)
WATCHDOG.progress()
WATCHDOG.end()
time.sleep(0.8)
"""


def run(code: str, folder: Path) -> int:
    return subprocess.run([sys.executable, "-c", code, str(folder)], timeout=30).returncode


def test_a_process_that_hangs_is_ended_and_the_next_one_knows_why(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run(_HANGS, tmp_path) == 1
    assert time.monotonic() - began < 20
    with pytest.raises(Hung, match="--trial-timeout") as raised:
        Watchdog().begin(tmp_path, 60.0)
    assert "Timeout" in raised.value.doing
    # It is told once; whoever begins the trial anew may.
    watchdog = Watchdog()
    watchdog.begin(tmp_path, 60.0)
    watchdog.end()


def test_a_process_that_comes_further_waits_or_is_done_lives(tmp_path: Path) -> None:
    assert run(_GOES_ON, tmp_path) == 0
    assert not (tmp_path / FILE).exists()


def test_a_process_that_was_killed_otherwise_did_not_hang(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    watchdog = Watchdog()
    watchdog.begin(tmp_path, 60.0)
    watchdog.end()
    assert not (tmp_path / FILE).exists()


def test_without_a_limit_nothing_is_set(tmp_path: Path) -> None:
    watchdog = Watchdog()
    watchdog.begin(tmp_path, 0.0)
    watchdog.progress()
    assert not (tmp_path / FILE).exists()
    watchdog.end()
