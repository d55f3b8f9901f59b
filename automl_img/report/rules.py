"""The rules behind the findings, and what they found in a run."""

from __future__ import annotations

from collections.abc import Callable

from automl_img.report.blocks import CHECK, GOOD, NOTE, Finding
from automl_img.report.card import Card
from automl_img.report.rules_of_result import (
    baseline,
    calibration,
    few_in_a_class,
    imbalance,
    no_test,
    optimism,
    small_test,
    tested_again,
    weak_class,
)
from automl_img.report.rules_of_search import (
    better_elsewhere,
    broken_off,
    cheaper_equal,
    failed_trials,
    overfitting,
    range_edges,
    still_improving,
    stopped_too_early,
)

Rule = Callable[[Card], Finding | None]
RULES: tuple[Rule, ...] = (
    no_test,
    broken_off,
    better_elsewhere,
    baseline,
    weak_class,
    overfitting,
    failed_trials,
    small_test,
    tested_again,
    optimism,
    stopped_too_early,
    range_edges,
    still_improving,
    imbalance,
    few_in_a_class,
    calibration,
    cheaper_equal,
)


def findings(card: Card) -> list[Finding]:
    """What the rules found, worst first."""
    found = [finding for rule in RULES for finding in [rule(card)] if finding is not None]
    rank = {CHECK: 0, NOTE: 1, GOOD: 2}
    return sorted(found, key=lambda finding: rank[finding.level])
