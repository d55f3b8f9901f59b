"""The Ray that trials run on: one of our own on this machine, or a cluster that runs already."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from automl_img.errors import SettingsError
from automl_img.runs import Run
from automl_img.search.cluster import connected
from automl_img.search.interrupts import keeping_signals
from automl_img.search.resources import Resources
from automl_img.search.shipping import Shipping, serving
from automl_img.search.tokens import make_token
from automl_img.search.worker import environment

_OBJECT_STORE_BYTES = 150_000_000


@contextmanager
def ray_for(resources: Resources, run: Run, read: Sequence[str]) -> Iterator[Shipping | None]:
    """A Ray of our own on this machine, quiet and with a token, ended with the block; or where the
    resources are those of a cluster, a connection to that, which goes on after it.

    Args:
        read: files and folders beside the run folder that trials read.

    Returns:
        On a cluster how trials come to their files, else None.
    """
    os.environ.update(_DRIVER_ENVIRONMENT)
    options: dict[str, Any] = {
        "log_to_driver": bool(os.environ.get("AUTOML_IMG_DEBUG")),
        "runtime_env": {"env_vars": environment(resources)},
    }
    if resources.address is not None:
        with connected(resources.address, **options), serving(run.path, read) as shipping:
            yield shipping
        return
    # In a job of a cluster Ray would look here for what was sent to that.
    os.environ.pop("RAY_JOB_CONFIG_JSON_ENV_VAR", None)
    if ray.is_initialized():
        raise SettingsError("Ray runs in this process already; call ray.shutdown() before a search")
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    make_token()
    with keeping_signals():
        ray.init(
            # Without this Ray attaches to whatever cluster it finds.
            address="local",
            num_cpus=resources.threads * resources.workers,
            num_gpus=resources.gpus or None,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.CRITICAL,
            **options,
        )
    try:
        yield None
    finally:
        with keeping_signals():
            ray.shutdown()


_DRIVER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Only the older output obeys verbose=0.
    "RAY_AIR_NEW_OUTPUT": "0",
    # Processes that Ray starts ahead, one a core, lack the environment of trials: none serves.
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    # The monitor ends the whole search where one worker is large.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Else Tune starts one trial at a time; how many run is ours to say.
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",
}
