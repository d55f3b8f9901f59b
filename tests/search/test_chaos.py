"""A search survives being killed, whenever it is: see ``tests.search.chaos``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.search.chaos import Chaos

# Of two searches at the same time, as most of a session is waiting for imports.
KILLS = {1: 5, 2: 5}


def struck(folder: Path, seed: int) -> Chaos:
    chaos = Chaos(folder / f"seed-{seed}", seed)
    chaos.strike(KILLS[seed])
    print(f"seed {seed}: {dict(chaos.kills)}")
    return chaos


@pytest.mark.alone
@pytest.mark.slow
def test_searches_that_are_killed_again_and_again_lose_nothing_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    with ThreadPoolExecutor(len(KILLS)) as pool:
        found = list(pool.map(lambda seed: struck(tmp_path, seed), KILLS))
    for chaos in found:
        assert sum(chaos.kills.values()) == KILLS[chaos.seed]
        assert (chaos.lost, chaos.twice, chaos.unreadable, chaos.left) == ([], [], [], [])
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
