"""A search in a control group with little memory, in which the system ends a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from automl_img.runs import Run
from tests.pictures import class_folders

# The trials that take it do so in one large piece, as a library would, and not through Keras.
_SEARCH = """
import sys
from pathlib import Path
from tests.search.searches import small_search
small_search(Path(sys.argv[1]), Path(sys.argv[2]), budget=5, sampler="random", name="run")
"""
FAULTS = Path(__file__).parent / "faults"
_GROUPS = Path("/sys/fs/cgroup/memory")
_BYTES = 3 * 10**9


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group (version 1) of 3 GB; skips where none can be made."""
    group = _GROUPS / f"automl-img-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(_BYTES))
    except OSError:
        pytest.skip("this user may make no control group for memory here")
    yield group
    with suppress(OSError):
        group.rmdir()


@pytest.mark.alone
@pytest.mark.slow
def test_a_worker_that_the_system_ends_for_want_of_memory_costs_its_trial_alone(
    group: Path, tmp_path: Path
) -> None:
    photos = class_folders(tmp_path / "photos", per_class=40)
    environment = {
        **os.environ,
        "PYTHONPATH": str(FAULTS),
        "AUTOML_IMG_TEST_FAULTS": json.dumps({1: "takes all memory"}),
    }
    command = [sys.executable, "-c", _SEARCH, str(photos), str(tmp_path / "runs")]

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    subprocess.run(command, check=True, env=environment, preexec_fn=enter, timeout=300)
    run = Run(tmp_path / "runs" / "run")
    records = {record.number: record for record in run.trials()}
    assert len(records) == 5
    assert records[1].stop_reason == "out of memory"
    assert "the system ended its process" in (records[1].error or "")
    assert all(records[number].best for number in records if number != 1)
    assert run.model.exists()
