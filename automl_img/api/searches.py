"""Searching, and what goes with a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.api.runs import RUNS
from automl_img.events import Listener, ignore
from automl_img.runs import Run

if TYPE_CHECKING:
    from automl_img.search.plan import Plan
    from automl_img.search.reproduce import Reproduction


def search(
    data: str | Path | None = None,
    *,
    listener: Listener = ignore,
    **settings: Any,
) -> Run:
    """Search, retrain the winner, test it once, export it, report it.

    See ``automl_img.search.study.search`` for arguments and errors.
    """
    from automl_img.search import study

    return study.search(data, listener=listener, **settings)


def resume(
    run: str | Path | None = None,
    *,
    out: str | Path = RUNS,
    budget: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    listener: Listener = ignore,
) -> Run:
    """Go on with a run that was stopped, was killed, or has used up its budget.

    See ``automl_img.search.study.resume`` for arguments and errors.
    """
    from automl_img.search import study

    return study.resume(
        run, out=out, budget=budget, workers=workers, address=address, listener=listener
    )


def reproduce(
    run: str | Path | None = None,
    *,
    trial: int | None = None,
    out: str | Path = RUNS,
    listener: Listener = ignore,
) -> Reproduction:
    """Train a trial of a run again from its record, and compare.

    See ``automl_img.search.reproduce.reproduce`` for arguments and errors.
    """
    from automl_img.search import reproduce as again

    return again.reproduce(run, out, trial, listener)


def plan(data: str | Path | None = None, *, listener: Listener = ignore, **settings: Any) -> Plan:
    """What a search with these settings will cost on this machine; nothing is trained.

    Args:
        settings: as of ``search``.

    See ``automl_img.search.plan.plan_search`` for errors.
    """
    from automl_img.search.plan import plan_search
    from automl_img.settings import check

    asked = check(settings, data)
    return plan_search(asked, listener)
