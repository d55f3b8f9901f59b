"""How far the end of a run has come, kept so that no step of it is done twice.

``final.json`` names the trial that was retrained, and the steps that are done with it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    "label_errors.json",
    "predictions/test.npz",
    "model.keras",
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


def keep_retrained(
    run: Run, winner: TrialRecord, again: TrialRecord, failed: Sequence[int] = ()
) -> None:
    """Keep that ``winner`` was retrained, and how that went.

    Args:
        failed: numbers of better trials that could not be.
    """
    kept = {**identity(winner), "record": again.to_json(), "failed": list(failed), "done": []}
    run.write_json(_FILE, kept)


def retrained(run: Run, ranked: Sequence[TrialRecord]) -> tuple[TrialRecord, TrialRecord] | None:
    """The winner and how its retraining went, where an earlier session came so far and what is
    needed of it is there.

    Args:
        ranked: the trials that may win, the best first.
    """
    kept = run.read_json(_FILE)
    if kept is None:
        return None
    winner = next((trial for trial in ranked if trial.number not in kept["failed"]), None)
    if winner is None or {key: kept[key] for key in identity(winner)} != identity(winner):
        return None
    again = TrialRecord.from_json(kept["record"])
    trained = (run.path / WINNER / FINAL_MODEL).exists()
    if trained and run.read_json(f"{WINNER}/{_WHOSE}") == identity(winner):
        return winner, again
    # One for which there was no time may have some now.
    exported = "export" in kept["done"] and run.model.exists()
    return (winner, again) if exported and again.stop_reason != "budget" else None


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
