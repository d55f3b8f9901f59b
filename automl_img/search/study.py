"""A search, begun or gone on with."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from automl_img.data.prepare import prepare
from automl_img.events import Listener, Notice, ignore
from automl_img.models.hyperparameters import declared
from automl_img.models.imbalance import refuse_for_several_classes
from automl_img.models.weights import weights_of_space
from automl_img.runs import Run
from automl_img.search.cluster import refuse_streams, resources_of
from automl_img.search.disk import check_room, missing_bytes, needed_bytes, telling_of_full_disks
from automl_img.search.earlier import Earlier, earlier_of
from automl_img.search.history import resolve
from automl_img.search.inputs import run_info
from automl_img.search.objective import decided
from automl_img.search.out import open_out
from automl_img.search.reopen import (
    check_data,
    check_unfinished,
    has_ended,
    settings_of,
    space_of,
    tell_torn,
    tell_versions,
)
from automl_img.search.session import Session
from automl_img.search.sharing import check_server, check_server_again, check_shared
from automl_img.settings import check
from automl_img.space.presets import build_space, find_preset, read_preset

# Of the driver, before it imports Keras: the backend of its workers, and a share of the GPU alone.
_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
# Up to this side in pixels networks from scratch are the usual choice.
_SMALL_IMAGES = 64


def search(
    data: str | Path | None = None,
    *,
    listener: Listener = ignore,
    **settings: Any,
) -> Run:
    """Search for the best classifier of ``data``, retrain it, test it once, export it, report it.

    Args:
        data: a folder, table, archive or built-in name; None takes the default of the settings.
        listener: hears the events of ``automl_img.events`` as the search goes.
        settings: see ``automl_img.settings.SearchSettings``.

    Returns:
        The run: ``run.read_json("test.json")`` has the scores, ``run.report`` and ``run.model`` are
        the files; where the run is at a URL, those of the copy here.

    Raises:
        SettingsError: what was asked for cannot be done.
        DataError: the images cannot be used.
        WeightsError: pretrained weights cannot be had.
        RunError: the run's name is taken, or its URL cannot be written; at the end, that not all of
            the run could be uploaded, or that another machine goes on with it.
        SearchError: no trial was usable, or the server of its study went away.
        ExportError: the export does not predict as the trained model does; the rest is kept.
        KeyboardInterrupt: stopped at once; finished trials are in the run folder.
    """
    began = time.monotonic()
    _prepare_environment()
    asked = check(settings, data)
    space = build_space(
        asked.space, read_preset(find_preset(asked.space)), declared(), asked.search, asked.fixed
    )
    out = open_out(asked.out)
    out.check(asked.name)
    resolve(asked.warm_start, asked.out)
    check_server(asked)
    resources = resources_of(asked)
    weights = weights_of_space(space, asked.weights_dir)
    prepared = prepare(asked, listener)
    refuse_streams(resources, prepared.pixels.streamed)
    asked = decided(asked, prepared, listener)
    if prepared.multi_label:
        refuse_for_several_classes(space)
    if asked.space == "cnn" and prepared.image_size > _SMALL_IMAGES:
        listener(Notice("--space pretrained usually beats the space cnn on photos of this size"))
    check_shared(asked, space, prepared)
    needed = needed_bytes(asked, prepared, weights, resources)
    check_room(out.folder, needed)
    started = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
    name = asked.name or f"{prepared.name}-{stamp}"
    info = run_info(asked, space, resources, prepared, name, started)
    with out.begin(name, info, listener) as driven, telling_of_full_disks(driven.run, needed):
        return Session(
            asked,
            space,
            resources,
            prepared,
            weights,
            driven.listener,
            began,
            driven.run,
            Earlier(),
        ).run_to_the_end()


def resume(
    run: str | Path | None = None,
    *,
    out: str | Path = "runs",
    budget: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    listener: Listener = ignore,
) -> Run:
    """Go on with a run wherever it stopped: trials that ended stay as they are, those that were
    running go on from their last checkpoint, and of the end only what is missing is done.

    Args:
        run: a folder or a URL, or the name of a run in ``out``; the newest one for None.
        out: a folder or a URL.
        budget: a larger one, or with a ``+`` what is added: "80", "+30", "+1h"; None leaves it.
        workers: trials at a time from now on; None leaves what was asked for.
        address: of the Ray cluster to train on from now on, "local" for this machine alone; None
            leaves what was asked for.
        listener: see ``search``.

    Returns:
        The run.

    Raises:
        RunError: there is no such run, another process searches it, it has come to its end, its
            data or its space are not what they were, or a file of it is damaged; see ``search``
            for those of a URL.
        SettingsError: the budget is smaller, or counts something else.
        DataError, WeightsError, SearchError, ExportError, KeyboardInterrupt: see ``search``.
    """
    began = time.monotonic()
    _prepare_environment()
    with open_out(out, run).go_on(run, listener) as driven:
        found, listener = driven.run, driven.listener
        asked = settings_of(found, budget, workers, address)
        if driven.behind and has_ended(found, asked):
            # Its upload was what was missing.
            return found
        check_unfinished(found, asked)
        check_server_again(found, asked)
        space = space_of(found, asked)
        tell_versions(found, listener)
        tell_torn(found, listener)
        resources = resources_of(asked)
        weights = weights_of_space(space, asked.weights_dir)
        prepared = prepare(asked, listener)
        refuse_streams(resources, prepared.pixels.streamed)
        check_data(found, prepared)
        needed = needed_bytes(asked, prepared, weights, resources)
        check_room(found.path, missing_bytes(found, needed))
        with telling_of_full_disks(found, needed):
            earlier = earlier_of(found)
            session = Session(
                asked, space, resources, prepared, weights, listener, began, found, earlier
            )
            return session.run_to_the_end()


def _prepare_environment() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
