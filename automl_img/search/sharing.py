"""A study on a server that several drivers may share: who begins it, and who may join."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_img.data.prepare import Prepared
from automl_img.errors import RunError, SearchError, SettingsError
from automl_img.events import Listener, Notice
from automl_img.runs import Run
from automl_img.settings import SearchSettings
from automl_img.space.dimensions import SearchSpace

if TYPE_CHECKING:
    from automl_img.search.sampler import Sampler
    from automl_img.search.server import ServerStudies

# What the drivers of a study must have in common, and how they come to it. Of other splits the test
# images of one would decide what another one tries.
_SHARED = {
    "classes": "the same classes",
    "data": "the same images",
    "split": "the same split of the images (--seed, --keep-copies, --limit-per-class)",
    "image_size": "one --image-size",
    "objective": "one --objective",
    "limits": "the same limits",
    "max_epochs": "one --max-epochs",
    "studies": "one --sampler, or at least one that divides the families in the same way",
    "space": "one search space",
}


def check_server(settings: SearchSettings) -> None:
    """Whether the server of a search that is about to begin can be used.

    Raises:
        SettingsError: it cannot be reached, or there is no such study to join.
        RunError: there is a study of that name, so a new one needs another.
    """
    if settings.storage is None:
        return
    from automl_img.search.server import facts_on

    known = facts_on(settings.storage)
    if settings.join is not None and settings.join not in known:
        there = ", ".join(sorted(known)) or "none yet"
        raise SettingsError(
            f"--join must name a study on the server, but got {settings.join!r}; there: {there}"
        )
    if settings.join is None and settings.name in known:
        raise _taken(str(settings.name))


def check_server_again(run: Run, settings: SearchSettings) -> None:
    """Whether the server of a run that is to go on can be used.

    Raises:
        SettingsError: it cannot be reached.
        RunError: it has the study of the run no more.
    """
    if settings.storage is None:
        return
    from automl_img.search.server import facts_on

    name = study_of(run)["name"]
    if name not in facts_on(settings.storage) and run.starts():
        raise RunError(
            f"the run {run.name} cannot go on: the study {name} is not on its server any more; put "
            f"back a copy of it, or search anew with --warm-start {run.name}"
        )


def check_shared(settings: SearchSettings, space: SearchSpace, prepared: Prepared) -> None:
    """
    Raises:
        SettingsError: the study to join has another space, other data, or is compared otherwise.
    """
    if settings.storage is not None and settings.join is not None:
        from automl_img.search.server import facts_on

        theirs = facts_on(settings.storage).get(settings.join, {})
        _compare(settings.join, _facts(settings, space, prepared), theirs)


def new_study(settings: SearchSettings, name: str) -> dict[str, str]:
    """ "study" of ``run.json``: its name on the server, and what tells this driver from others.

    Args:
        name: of the run.
    """
    return {"name": settings.join or name, "driver": uuid.uuid4().hex}


def study_of(run: Run) -> dict[str, Any]:
    """What ``new_study`` has put into ``run.json``.

    Raises:
        RunError: it is not there.
    """
    kept = run.info.get("study")
    if not isinstance(kept, dict) or not {"name", "driver"} <= kept.keys():
        raise RunError(f"the run {run.name} cannot go on: its run.json has no study")
    return kept


def open_shared(
    run: Run,
    settings: SearchSettings,
    space: SearchSpace,
    prepared: Prepared,
    listener: Listener,
) -> ServerStudies:
    """The studies of ``run`` on its server, for ``automl_img.search.sampler.Sampler``; begun there
    where nobody has yet.

    Raises:
        RunError: the study is another one, or that to join has gone.
        SearchError, SettingsError: see ``automl_img.search.server.ServerStudies``.
    """
    from automl_img.search.sampler import arms_of
    from automl_img.search.server import ServerStudies

    name, driver = study_of(run)["name"], study_of(run)["driver"]
    joins = settings.join is not None
    studies = ServerStudies(str(settings.storage), name, run.name, driver, joins, listener)
    facts = _facts(settings, space, prepared)
    with studies.alone():
        theirs = studies.facts
        if theirs is None and not joins:
            directions = [each.direction for each in settings.objectives]
            arms = arms_of(space, settings.sampler, settings.objectives)
            studies.begin(list(arms), directions, {**facts, "driver": driver})
        elif theirs is None:
            raise RunError(f"the study {name} is not on its server any more")
        elif not joins and theirs.get("driver") != driver:
            raise _taken(name)
        elif joins and not run.starts():
            _compare(name, facts, theirs)
    return studies


def tell_of_others(run: Run, sampler: Sampler, listener: Listener) -> None:
    """Say, and keep in ``run.json``, where another driver of the study has a better trial."""
    # A run whose trials are all done does not need the server any more.
    with suppress(SearchError):
        sampler.hear()
    best, better = sampler.best_elsewhere, None
    own = [each.best.quality[0] for each in run.trials() if each.best and each.origin != "probe"]
    if best is not None and max(best.values) > max(own, default=0.0):
        better = (
            f"Trial {best.number} of the run {best.run}, which shares the study, is better than "
            f"all of this run: {max(best.values):.3f} against {max(own, default=0.0):.3f} on the "
            "validation images."
        )
        listener(Notice(better))
    run.update_info(study={**study_of(run), "better": better})


def _facts(settings: SearchSettings, space: SearchSpace, prepared: Prepared) -> dict[str, Any]:
    """What drivers must have in common, as JSON has it; keys are those of ``_SHARED``."""
    from automl_img.search.sampler import arms_of

    digest = hashlib.blake2b(digest_size=16)
    for rows in prepared.split.parts().values():
        digest.update(np.asarray(rows, dtype="<i8").tobytes() + b"|")
    names = "\0".join(prepared.class_names).encode("utf-8", "surrogateescape")
    return {
        "classes": hashlib.blake2b(names, digest_size=16).hexdigest(),
        "data": prepared.index.fingerprint,
        "split": digest.hexdigest(),
        "image_size": prepared.image_size,
        "objective": ",".join(each.name for each in settings.objectives),
        "limits": settings.limits.bounded,
        "max_epochs": settings.max_epochs,
        "studies": list(arms_of(space, settings.sampler, settings.objectives)),
        "space": {each.name: each.describe() for each in space.dimensions},
    }


def _compare(study: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    other = next((key for key in _SHARED if ours[key] != theirs.get(key)), None)
    if other is None:
        return
    here, there = ours[other], theirs.get(other)
    differs = f", but it is {there} there and {here} here"
    if other == "space":
        there = there or {}
        names = dict.fromkeys([*here, *there])
        every = [(name, there.get(name), here.get(name)) for name in names]
        apart = [f"{name} is {old} there and {new} here" for name, old, new in every if old != new]
        differs = f", but {', '.join(apart)}"
    elif other in ("data", "classes", "split"):
        differs = ""
    raise SettingsError(
        f"who joins the study {study} must have {_SHARED[other]}{differs}; ask for the same, or "
        "begin another study without --join"
    )


def _taken(study: str) -> RunError:
    return RunError(
        f"a study named {study!r} is on the server already; work on it with --join {study}, or "
        "choose another --name"
    )
