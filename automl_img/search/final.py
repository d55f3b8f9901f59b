"""How far the end of a run has come, kept so that no step of it is done twice.

``final.json`` names the trial that was retrained, and the steps that are done with it.
"""

from __future__ import annotations

from typing import Any, Literal

from automl_img.runs import Run, remove_folders
from automl_img.search.specs import FINAL_MODEL, WINNER
from automl_img.trials import TrialRecord

Step = Literal["test", "export", "ensemble"]
_FILE = "final.json"
# In the folder of the retraining: of which trial it is.
_WHOSE = "trial.json"
# What an older winner left: its scores must not stand beside a newer one.
_OF_THE_WINNER = (
    "winner.json",
    "test.json",
    "predictions/test.npz",
    "ensemble.json",
    "predictions/ensemble.npz",
    "ensemble.keras",
)


def prepare(run: Run, winner: TrialRecord) -> None:
    """Make the folder of the retraining that of ``winner``: what another one left there is no
    beginning of it."""
    whose = f"{WINNER}/{_WHOSE}"
    if run.read_json(whose) != identity(winner):
        remove_folders([run.path / WINNER])
        run.write_json(whose, identity(winner))


def keep_retrained(run: Run, winner: TrialRecord, again: TrialRecord) -> None:
    """Keep that ``winner`` was retrained, and how that went."""
    run.write_json(_FILE, {**identity(winner), "record": again.to_json(), "done": []})


def retrained(run: Run, winner: TrialRecord) -> tuple[TrialRecord, TrialRecord] | None:
    """``winner`` and how its retraining went, where an earlier session came so far and what is
    needed of it is there."""
    kept = run.read_json(_FILE)
    if kept is None or {key: kept[key] for key in identity(winner)} != identity(winner):
        return None
    exported = "export" in kept["done"] and run.model.exists()
    if not exported and not (run.path / WINNER / FINAL_MODEL).exists():
        return None
    return winner, TrialRecord.from_json(kept["record"])


def done(run: Run) -> list[Step]:
    """The steps that are done for the trial that was retrained."""
    kept = run.read_json(_FILE)
    return [] if kept is None else list(kept["done"])


def keep_done(run: Run, step: Step) -> None:
    """Keep that a step is done."""
    kept: dict[str, Any] = run.read_json(_FILE) or {}
    run.write_json(_FILE, {**kept, "done": [*kept["done"], step]})


def forget_older(run: Run) -> None:
    """Delete what an older winner scored."""
    for name in _OF_THE_WINNER:
        (run.path / name).unlink(missing_ok=True)


def identity(winner: TrialRecord) -> dict[str, int]:
    """What tells one winner from another: a trial that went on since is another one."""
    assert winner.best is not None  # ``rank`` gives no other.
    return {"trial": winner.number, "epochs": len(winner.epochs), "best_epoch": winner.best.epoch}
