"""Amounts as people type them."""

from __future__ import annotations

import re

from automl_img.budget import Budget

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_bytes(text: str) -> int:
    """``"1.5GB"`` as 1,500,000,000; a number alone counts bytes.

    Raises:
        ValueError: it is no such amount.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)b?\s*", text, re.IGNORECASE)
    if found is None:
        raise ValueError("must be an amount such as 20GB, 500MB or 0")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def parse_seconds(text: str) -> float:
    """``"1h30m"`` as 5400; 0 for none.

    Raises:
        ValueError: it is no time.
    """
    rule = "must be a time (30m, 90s, 1h) or 0 for none"
    if text.strip() == "0":
        return 0.0
    try:
        found = Budget.parse(text).seconds
    except ValueError:
        raise ValueError(rule) from None
    if found is None:
        raise ValueError(rule)
    return found
