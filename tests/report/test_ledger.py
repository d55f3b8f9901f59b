from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from automl_img.report.card import Card, load_card
from automl_img.report.ledger import ledger
from automl_img.report.render import write_report
from automl_img.trials import TrialRecord, TrialState
from tests.report.golden import golden_run


def card(tmp_path: Path, trials: list[TrialRecord]) -> Card:
    return replace(load_card(golden_run(tmp_path, failed=0)), trials=tuple(trials))


def trials(tmp_path: Path) -> list[TrialRecord]:
    return list(load_card(golden_run(tmp_path / "of", failed=0)).trials)


def failed(trial: TrialRecord, reason: str, **params: object) -> TrialRecord:
    return replace(
        trial,
        state=TrialState.FAILED,
        stop_reason=reason,
        error=f"{reason} it was",
        params={**trial.params, **params},
    )


def with_rates(found: list[TrialRecord], low: float, high: float) -> list[TrialRecord]:
    """Trials whose rates lie evenly between two."""
    step = (high - low) / max(1, len(found) - 1)
    return [
        replace(trial, params={**trial.params, "optimizer.learning_rate": low + place * step})
        for place, trial in enumerate(found)
    ]


def test_failures_are_grouped_by_reason_the_most_frequent_first(tmp_path: Path) -> None:
    every = trials(tmp_path)
    every[3] = failed(every[3], "hang")
    every[5:7] = [failed(each, "diverged") for each in every[5:7]]
    found = ledger(card(tmp_path, every))
    assert [(each.reason, [t.number for t in each.trials]) for each in found] == [
        ("diverged", [5, 6]),
        ("hang", [3]),
    ]
    assert found[0].first == "diverged it was"
    assert found[0].seconds == sum(t.ended - t.started for t in found[0].trials)


def test_the_change_of_the_space_is_told_from_what_the_failed_ones_have_alone(
    tmp_path: Path,
) -> None:
    every = with_rates(trials(tmp_path), 0.001, 0.02)
    for number in (4, 9):
        every[number] = failed(every[number], "diverged", **{"optimizer.learning_rate": 0.08})
    [found] = ledger(card(tmp_path, every))
    assert "all 2 had optimizer.learning_rate of 0.08 or more, as none of the 18 others" in (
        found.advice
    )
    assert "--search optimizer.learning_rate=" in found.advice
    assert "..0.02" in found.advice


def test_an_option_that_only_failed_ones_have_is_left_out(tmp_path: Path) -> None:
    every = with_rates(trials(tmp_path), 0.001, 0.02)
    every = [replace(t, params={**t.params, "optimizer.name": "adam"}) for t in every]
    for number in (0, 10, 19):
        every[number] = failed(every[number], "error", **{"optimizer.name": "sgd"})
    [found] = ledger(card(tmp_path, every))
    assert "optimizer.name = sgd" in found.advice
    assert "--search optimizer.name=adam leaves that out" in found.advice


def test_where_nothing_tells_them_apart_it_says_what_mostly_helps(tmp_path: Path) -> None:
    every = trials(tmp_path)[:2]
    every[0] = failed(every[0], "out of memory")
    [found] = ledger(card(tmp_path, every))
    assert "batch_size" in found.advice


def test_a_run_without_failures_has_no_such_section_and_one_with_some_has(tmp_path: Path) -> None:
    sound = golden_run(tmp_path, failed=0, name="sound")
    write_report(sound, strict=True)
    assert "table-failures" not in sound.report.read_text(encoding="utf-8")
    page = golden_run(tmp_path, failed=2, name="failed")
    write_report(page, strict=True)
    assert "What avoids it" in page.report.read_text(encoding="utf-8")
