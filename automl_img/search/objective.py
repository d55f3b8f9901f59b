"""What trials are compared by, where the user did not say."""

from __future__ import annotations

from automl_img.data.prepare import Prepared
from automl_img.events import Listener, Notice, ignore
from automl_img.settings import SearchSettings

# Wrong answers in a rare class count as those in a frequent one, and the value says something.
_OF_RARE_CLASSES = "val_balanced_accuracy"
_OTHERWISE = "val_accuracy"


def decided(
    settings: SearchSettings, prepared: Prepared, listener: Listener = ignore
) -> SearchSettings:
    """``settings`` with an objective: as asked, or by the numbers of images of the classes."""
    if settings.objective is not None:
        return settings
    if prepared.is_imbalanced:
        listener(
            Notice(
                "trials are compared by balanced accuracy, as some classes have far fewer images "
                f"than others; --objective {_OTHERWISE} compares them by accuracy"
            )
        )
    objective = _OF_RARE_CLASSES if prepared.is_imbalanced else _OTHERWISE
    return settings.model_copy(update={"objective": objective})
