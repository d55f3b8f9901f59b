"""Small spaces for the tests of the search."""

from __future__ import annotations

from automl_img.models.hyperparameters import declared
from automl_img.space.dimensions import SearchSpace
from automl_img.space.presets import Preset, build_space
from automl_img.trials import EpochResult, TrialRecord, TrialState

TINY = {"cnn.depth": "1", "cnn.filters": "8", "cnn.convolutions": "1", "augment.strength": "0"}
# One step an epoch would leave the averages of batch normalisation unsettled.
TINY["batch_size"] = "8"


def space(search: dict[str, str], fix: dict[str, str] | None = None) -> SearchSpace:
    return build_space("test", Preset(), declared(), search, fix or {})


def epoch(number: int, accuracy: float, loss: float = 1.0) -> EpochResult:
    return EpochResult(number, 1.0, 0.5, loss, accuracy, 0.1, 0.01)


def record(
    number: int,
    accuracies: tuple[float, ...] = (0.5,),
    state: TrialState = TrialState.COMPLETE,
    reason: str = "finished",
    loss: float = 1.0,
    parameters: int | None = 100,
    params: dict[str, bool | int | float | str] | None = None,
    error: str | None = None,
) -> TrialRecord:
    epochs = tuple(epoch(place + 1, value, loss) for place, value in enumerate(accuracies))
    return TrialRecord(
        number, state, reason, params or {}, 0, 0.0, 1.0, epochs, error, parameters, 1.0
    )
