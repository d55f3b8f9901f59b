"""What must I know before using it?"""

from __future__ import annotations

from automl_img.report.blocks import Findings, Section
from automl_img.report.card import Card
from automl_img.report.rules import RULES, findings

ORDER = 10


def build(card: Card) -> Section:
    block = Findings(tuple(findings(card)), len(RULES))
    numbers = {
        "checks": block.checks,
        "findings": [
            {"level": item.level, "rule": item.rule, "text": item.text} for item in block.findings
        ],
    }
    return Section("Findings", "What must I know before using it?", (block,), numbers)
