"""What trials are compared by, where the user did not say."""

from __future__ import annotations

from automl_img.data.prepare import Prepared
from automl_img.errors import SettingsError
from automl_img.events import Listener, Notice, ignore
from automl_img.metrics import objectives_of
from automl_img.settings import SearchSettings

# Wrong answers in a rare class count as those in a frequent one, and the value says something.
_OF_RARE_CLASSES = "val_balanced_accuracy"
_OTHERWISE = "val_accuracy"
# To have all classes of an image right is rare, and says little while a search begins.
_OF_SEVERAL_CLASSES = "val_map"


def decided(
    settings: SearchSettings, prepared: Prepared, listener: Listener = ignore
) -> SearchSettings:
    """``settings`` with an objective: as asked, or by the numbers of images of the classes.

    Raises:
        SettingsError: the objective is not for such labels.
    """
    sets = prepared.multi_label
    if settings.objective is not None:
        name, known = settings.objectives[0].name, objectives_of(sets)
        if name not in known:
            raise SettingsError(
                f"objective: of images with {'several classes' if sets else 'one class each'} it "
                f"must be one of {', '.join(known)}, but got {name!r}"
            )
        return settings
    if sets:
        return settings.model_copy(update={"objective": _OF_SEVERAL_CLASSES})
    if prepared.is_imbalanced:
        listener(
            Notice(
                "trials are compared by balanced accuracy, as some classes have far fewer images "
                f"than others; --objective {_OTHERWISE} compares them by accuracy"
            )
        )
    objective = _OF_RARE_CLASSES if prepared.is_imbalanced else _OTHERWISE
    return settings.model_copy(update={"objective": objective})
