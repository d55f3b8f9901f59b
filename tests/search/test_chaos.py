"""A search survives being killed, whenever it is: see ``tests.search.chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.chaos import Chaos

KILLS = 25


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    chaos = Chaos(tmp_path, seed=1)
    try:
        chaos.strike(KILLS)
    except AssertionError:
        print((tmp_path / "log.txt").read_text(errors="replace")[-4000:])
        raise
    print(f"seed 1: {dict(chaos.kills)}")
    assert sum(chaos.kills.values()) == KILLS
    assert (chaos.lost, chaos.twice, chaos.unreadable) == ([], [], [])
    run = chaos.run
    numbers = [record.number for record in run.trials()]
    assert {start.number for start in run.starts()} == set(numbers)
    assert run.info["status"] == "finished"
    tested = [each["trial"] for each in run.info["tested"]]
    assert (run.read_json("winner.json") or {})["number"] == tested[-1]
    assert run.model.exists()
    assert run.report.exists()
    # Of all the files that were half written nothing is left.
    assert [path.name for path in run.path.rglob(".*")] == [".lock"]
