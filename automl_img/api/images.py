"""Images, looked at before a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.errors import SpaceError
from automl_img.events import Listener, ignore

if TYPE_CHECKING:
    from automl_img.data.audit import Audit
    from automl_img.trials import Params

# Of a preview: images of a class, and augmented ones beside each.
_PER_CLASS, _VIEWS = 3, 5


def check_data(
    data: str | Path | None = None,
    *,
    html: str | Path | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Audit:
    """What is wrong with images, before anything is trained on them.

    Args:
        html: a page with the pictures is written there.
        settings: as of ``search``; those of the data count.

    Raises:
        DataError: not one image can be used, or the page cannot be written.

    See ``automl_img.data.audit.audit`` for the other errors.
    """
    from automl_img.data.audit import audit
    from automl_img.settings import check

    asked = check(settings, data)
    found = audit(asked, listener)
    if html is not None:
        from automl_img.report.audit import write_audit

        write_audit(found, Path(html).expanduser())
    return found


def preview_data(
    data: str | Path | None = None,
    *,
    html: str | Path = "preview.html",
    strength: float = 0.5,
    fix: dict[str, str] | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Path:
    """Write a page with some training images of each class, as loaded and as augmented.

    Args:
        strength: of the augmentation, in [0, 1].
        fix: values of ``augment.`` hyperparameters, as typed.
        settings: as of ``search``; those of the data count.

    Returns:
        The page.

    Raises:
        DataError: the images cannot be used, or the page cannot be written.
        SpaceError: a hyperparameter is unknown, out of its bounds, or changes no image.
    """
    import numpy as np

    from automl_img.data.preview import samples
    from automl_img.models.augment import amounts, augmented
    from automl_img.report.preview import write_preview
    from automl_img.settings import check

    asked = check(settings, data)
    params = _augmentation({"augment.strength": f"{strength:g}", **(fix or {})})
    found = samples(asked, _PER_CLASS, listener)
    amount = amounts(params, found.flips, found.images.shape[-1])
    seeds = range(asked.seed + 1, asked.seed + 1 + _VIEWS)
    views = np.stack([augmented(found.images, amount, seed) for seed in seeds])
    page = Path(html).expanduser()
    write_preview(found, views, amount, page)
    return page


def _augmentation(fix: dict[str, str]) -> Params:
    """Every hyperparameter, with those of the augmentation as typed."""
    from automl_img.models.hyperparameters import declared
    from automl_img.space.presets import Preset, build_space

    others = sorted(name for name in fix if not name.startswith("augment."))
    if others:
        raise SpaceError(
            f"a preview has hyperparameters of the augmentation alone, but got {others[0]!r}; "
            "their names begin with augment."
        )
    return build_space("preview", Preset(), declared(), {}, fix).nearest({})
