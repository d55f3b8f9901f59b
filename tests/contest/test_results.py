"""What is made of the runs: differences, goals, and which cells are next."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


def run(seed: int = 0, accuracy: float | None = 0.5, **more: Any) -> dict[str, Any]:
    """A run as the file of results has it."""
    about = {"form": "5 minutes", "system": "automl-img", "track": "scratch", "seed": seed}
    rest = {"accuracy": accuracy, "seconds": 300.0, "curve": [], "error": None, "commit": "abc"}
    return {**about, **rest, **more}


def cells_of(contest: SimpleNamespace, *runs: dict[str, Any]) -> Any:
    return contest.results.latest(runs, "5 minutes")


def test_better_is_said_only_where_the_interval_excludes_zero(contest: SimpleNamespace) -> None:
    ours = {0: 0.7, 1: 0.72, 2: 0.71}
    clear = contest.results.difference(ours, {0: 0.6, 1: 0.6, 2: 0.6})
    assert clear.verdict == "better"
    assert (round(clear.low, 3), round(clear.high, 3)) == (0.1, 0.12)
    mixed = contest.results.difference(ours, {0: 0.6, 1: 0.6, 2: 0.715})
    assert mixed.mean > 0
    assert mixed.verdict == "not told apart"
    assert contest.results.difference(ours, {0: 0.8, 1: 0.8, 2: 0.8}).verdict == "worse"
    assert contest.results.difference(ours, {0: 0.6, 1: 0.6}).verdict == "too few seeds"


def test_differences_are_paired_by_seed(contest: SimpleNamespace) -> None:
    found = contest.results.difference({0: 0.5, 1: 0.9}, {1: 0.8, 2: 0.1})
    assert (round(found.mean, 6), found.seeds) == (0.1, 1)
    assert contest.results.difference({0: 0.5}, {1: 0.5}) is None


@pytest.mark.parametrize(
    ("speeds", "pairs"),
    [((None, None), 1), ((50.0, 55.0), 1), ((50.0, 90.0), 0), ((None, 50.0), 0)],
)
def test_only_runs_on_machines_of_the_same_speed_are_compared(
    contest: SimpleNamespace, speeds: tuple[float | None, ...], pairs: int
) -> None:
    curve = [[10.0, 0.4]]
    name = contest.results.HYPERBAND
    ours = run(accuracy=0.7, curve=curve, gflops=speeds[0])
    theirs = run(accuracy=0.5, system=name, curve=curve, gflops=speeds[1])
    cells = cells_of(contest, ours, theirs)
    found, _ = contest.results.table(cells, "scratch", [name])
    said = found[f"scratch: automl-img - {name}"]
    expected = "1 seed, too few seeds" if pairs else "no pair on machines of the same speed"
    assert expected in str(said)
    assert sum("parts of its time" in figure for figure in found) == pairs
    # Each alone is in the table all the same.
    assert f"scratch: {name}" in found


def test_the_speed_of_a_machine_is_a_number_of_operations(contest: SimpleNamespace) -> None:
    speed = importlib.import_module("contest.speed").gigaflops()
    assert 0.1 < speed < 100_000


def test_the_time_to_the_target_is_a_part_of_the_whole_time_of_hyperband(
    contest: SimpleNamespace,
) -> None:
    hyperband = {"system": "KerasTuner Hyperband", "curve": [[40.0, 0.3], [250.0, 0.4]]}
    ours = [[30.0, 0.35], [45.0, 0.41], [200.0, 0.6]]
    cells = cells_of(contest, run(curve=ours), run(**hyperband), run(1), run(1, **hyperband))
    figures = contest.results.time_to_target(cells, "scratch")
    words = "45 for 0.400, theirs 250; never for 0.400, theirs 250"
    assert list(figures.values()) == [words, round((45 / 300 + 1) / 2, 3)]


def test_only_the_last_run_of_a_cell_counts(contest: SimpleNamespace) -> None:
    cells = cells_of(contest, run(accuracy=0.9), run(accuracy=0.4), run(form="25 minutes"))
    assert contest.results.accuracies(cells, "automl-img", "scratch") == {0: 0.4}


def test_a_system_that_could_not_run_is_named_with_its_reason(contest: SimpleNamespace) -> None:
    absent = run(accuracy=None, system="AutoKeras", error="could not be installed: no such file")
    figures, _ = contest.results.table(cells_of(contest, run(), absent), "scratch", ["AutoKeras"])
    assert figures["scratch: AutoKeras"] == "could not be installed: no such file"


def every_cell_run(contest: SimpleNamespace) -> list[dict[str, Any]]:
    """Runs in which every goal is met."""
    systems = contest.roster.all_systems()
    runs = []
    for name, track, seed in contest.versus.cells_of(systems):
        ours = name == "automl-img"
        curve = [[50.0 if ours else 290.0, 0.3]]
        accuracy = 0.7 if ours else 0.3
        runs.append(run(seed, accuracy, system=name, track=track, curve=curve))
    return runs


def test_the_goal_is_met_by_all_cells_and_by_none_less(contest: SimpleNamespace) -> None:
    systems, runs = contest.roster.all_systems(), every_cell_run(contest)
    result = contest.versus.result_of(runs, systems, "5 minutes")
    assert result["met"] is True
    assert result["figures"]["cells missing, ablations aside"] == 0
    assert contest.versus.result_of(runs[1:], systems, "5 minutes")["met"] is False
    slow = [{**each, "curve": [[70.0, 0.3]]} for each in runs]
    assert contest.versus.result_of(slow, systems, "5 minutes")["met"] is False
    for place, each in enumerate(runs):
        if each["system"] == "one sensible default":
            worse = [*runs[:place], {**each, "accuracy": 0.75}, *runs[place + 1 :]]
            assert contest.versus.result_of(worse, systems, "5 minutes")["met"] is False


def test_cells_run_in_a_seeded_random_order_with_the_ablations_last(
    contest: SimpleNamespace,
) -> None:
    systems = contest.roster.all_systems()
    cells = contest.versus.cells_of(systems)
    assert cells == contest.versus.cells_of(systems)
    main = [cell for cell in cells if not systems[cell[0]].ablation]
    assert cells[: len(main)] == main
    assert len(set(main)) == 8 * 2 * 3
    assert len({track for _, track, _ in main[:6]}) == 2
    assert len({system for system, _, _ in main[:8]}) > 3


def test_cells_that_are_there_are_not_run_again(contest: SimpleNamespace) -> None:
    cells = [("automl-img", "scratch", seed) for seed in range(3)]
    runs = [run(1), run(2, form="25 minutes")]
    assert contest.versus.missing(cells, runs, "5 minutes") == [cells[0], cells[2]]


def test_the_script_says_that_cells_are_missing(
    contest: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.setattr(sys.modules["frame"], "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["versus.py", "--cells", "0"])
    contest.versus.main()
    printed = capsys.readouterr().out
    assert "incomplete" in printed
    last = json.loads(printed.splitlines()[-1])
    assert (last["name"], last["met"]) == ("versus", False)
    assert last["figures"]["cells missing, ablations aside"] == 48


def test_a_run_is_written_at_once_and_names_no_place(
    contest: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.modules["frame"], "RESULTS", tmp_path)
    contest.versus._keep([run()], contest.roster.all_systems())
    kept = json.loads((tmp_path / "versus.json").read_text(encoding="utf-8"))
    assert kept["runs"] == [run()]
    assert contest.versus.kept_runs() == [run()]
    assert {"name", "figures", "goal", "met", "date", "machine"} <= kept.keys()


def test_every_part_that_an_ablation_takes_out_is_there(contest: SimpleNamespace) -> None:
    for module, name, _ in contest.ablated.PARTS.values():
        assert hasattr(importlib.import_module(module), name), (module, name)


def test_the_command_of_a_user_asks_for_less_than_its_time(contest: SimpleNamespace) -> None:
    values = ("automl-img", "transfer", 2, 300.0, 0.0, "out", "t.csv", "a", "b", (), {}, "weights")
    words = contest.ours.search_arguments(contest.task.Task(*values))
    assert words[:2] == ["search", "t.csv"]
    assert words[words.index("--budget") + 1] == "294s"
    assert words[words.index("--weights-dir") + 1] == "weights"
    assert "backbone=mobilenet_v3_small" in words


def test_our_curve_is_read_as_late_as_it_can_have_been(
    contest: SimpleNamespace, tmp_path: Path
) -> None:
    from automl_img.runs import create_run
    from automl_img.trials import EpochResult, TrialRecord, TrialState

    began = time.time()
    epochs = tuple(
        EpochResult(n + 1, 1.0, 0.5, 1.0, value, 10.0, 1e-3)
        for n, value in enumerate((0.3, 0.2, 0.5))
    )
    create_run(tmp_path, "run", {}).append_trial(
        TrialRecord(0, TrialState.COMPLETE, "finished", {}, 0, began + 5, began + 60, epochs)
    )
    values = ("automl-img", "scratch", 0, 300.0, began, str(tmp_path), "", "", "", (), {}, None)
    assert contest.ours.curve(contest.task.Task(*values)) == [(40.0, 0.3), (60.0, 0.5)]


def test_what_a_track_lacks_is_said_in_a_sentence(
    contest: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert contest.versus.why_not([]) is None
    monkeypatch.setattr(contest.versus, "SHARED", tmp_path)
    cells = [("automl-img", "transfer", 0), ("automl-img", "scratch", 0)]
    assert "the track scratch needs cifar10.zip" in contest.versus.why_not(cells)
    for name in ("cifar10.zip", "grocery.zip"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(contest.versus.pretrain, "is_done", lambda folder: False)
    assert contest.versus.why_not(cells[1:]) is None
    assert "make them with benchmarks/pretrain.py" in contest.versus.why_not(cells)
