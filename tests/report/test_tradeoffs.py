"""The section on accuracy against cost: shown where it was asked for, true to the records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from automl_img.report.blocks import Figure, Section, Skipped, Table
from automl_img.report.card import Card, load_card
from automl_img.report.render import write_report
from automl_img.report.sections import tradeoffs
from automl_img.trials import TrialRecord
from tests.report.golden import golden_run
from tests.report.html import Page


def card_with(golden: Card, **search: Any) -> Card:
    """The card of a run with several objectives or limits, its trials measured."""
    info = {**golden.info, "search": {**golden.info["search"], **search}}
    trials = tuple(_measured(trial) for trial in golden.trials)
    return dataclasses.replace(golden, info=info, trials=trials)


def _measured(trial: TrialRecord) -> TrialRecord:
    filters = float(trial.params["cnn.filters"])
    serving = {
        "latency_ms": filters / 4,
        "size_bytes": 4000 * filters,
        "parameters": 1000 * filters,
    }
    return dataclasses.replace(trial, serving=serving)


def built(card: Card) -> Section:
    section = tradeoffs.build(card)
    assert isinstance(section, Section)
    return section


def test_without_several_aims_or_limits_it_is_left_out(golden: Any) -> None:
    card = load_card(golden)
    assert isinstance(tradeoffs.build(card), Skipped)
    assert isinstance(tradeoffs.build(card_with(card, objectives=["val_accuracy"])), Skipped)
    unmeasured = {**card.info["search"], "limits": {"latency_ms": 9.0}}
    card = dataclasses.replace(card, info={**card.info, "search": unmeasured})
    assert isinstance(tradeoffs.build(card), Skipped)


def test_the_front_is_marked_and_listed(golden: Any) -> None:
    card = card_with(load_card(golden), objectives=["val_accuracy", "latency"])
    section = built(card)
    figure, table = section.blocks
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    front = section.numbers["front"]
    assert [int(row[0].sort or 0) for row in table.rows] == front
    marked = [trace for trace in figure.data if trace["name"] in ("beaten by none", "winner")]
    assert set(front) <= {number for trace in marked for number in trace["customdata"]}
    costs = [row[3].sort or 0.0 for row in table.rows]
    assert costs == sorted(costs, reverse=True)
    shown = sum(len(trace["x"]) for trace in figure.data)
    assert shown == len(card.usable)
    assert figure.heading.startswith(f"{len(front)} trials are beaten by none")


def test_trials_beyond_a_limit_are_marked_and_never_on_the_front(golden: Any) -> None:
    card = card_with(load_card(golden), limits={"size_bytes": 120_000, "latency_ms": None})
    section = built(card)
    beyond = set(section.numbers["beyond_limits"])
    assert beyond == {t.number for t in card.usable if (t.serving or {})["size_bytes"] > 120_000}
    assert beyond
    assert not beyond & set(section.numbers["front"])
    figure = section.blocks[0]
    assert isinstance(figure, Figure)
    assert figure.layout["shapes"][0]["x0"] == 0.12
    [grey] = [trace for trace in figure.data if trace["name"] == "beyond a limit"]
    best = card.best_trial
    assert set(grey["customdata"]) == beyond - ({best.number} if best else set())


def test_limits_that_nobody_keeps_are_said(golden: Any) -> None:
    section = built(card_with(load_card(golden), limits={"parameters": 10}))
    assert isinstance(section.blocks[0], Figure)
    assert section.blocks[0].heading == "No trial keeps the limits"
    assert section.numbers["front"] == []


def test_the_page_holds_one_figure_for_each_cost(tmp_path: Path) -> None:
    run = golden_run(tmp_path)
    records = [_measured(record) for record in run.trials()]
    (run.path / "trials.jsonl").unlink()
    for record in records:
        run.append_trial(record)
    search = {**run.info["search"], "objectives": ["val_accuracy", "latency", "size"]}
    run.update_info(search={**search, "limits": {"parameters": 60_000}})
    page = Page.of(write_report(run, strict=True))
    figures = [name for name in page.figures() if name.startswith("figure-tradeoff")]
    names = ["latency", "size", "params"]
    assert sorted(figures) == sorted(f"figure-tradeoff-{name}" for name in names)
