"""What runs in a worker process: one trial after the other, each in the same warm process."""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import os
import socket
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_img.errors import (
    Hung,
    OutOfMemory,
    OutOfTime,
    TooLarge,
    TrialFailed,
    UnfitNode,
    first_line,
)
from automl_img.files import disk_is_full, write_text
from automl_img.models.signature import signature
from automl_img.objectives import Limits
from automl_img.search.growth import Growth
from automl_img.search.resources import Resources
from automl_img.training.watchdog import WATCHDOG
from automl_img.trials import TrialSpec

if TYPE_CHECKING:
    from automl_img.search.shipping import NodeFiles
    from automl_img.training.graphs import GraphCache
    from automl_img.training.trainer import Trainer

# In the environment of a worker: bytes that it may hold for itself, with one share of the machine.
MEMORY = "AUTOML_IMG_WORKER_BYTES"
_THREADS = "TF_NUM_INTRAOP_THREADS"
# In the folder of a trial that has sent away a process which had grown.
_MOVED = "moved"
# How the files of the search come to this node of a cluster.
_files: NodeFiles | None = None
# Of the machine, that this process has.
_shares = 1
# What was measured of exported models, by the signature of their networks.
_measured: dict[str, dict[str, float]] = {}
_NO_TIME = (
    "there was no time to train the winner again, so it is the model of its trial, which has not "
    "seen the validation images"
)
_LITTLE_TIME = (
    "there was no time to train the winner again to its end, and its trial has left no weights: "
    "the model has trained for {} epochs"
)


class ProcessTooLarge(Exception):
    """The process has grown; Tune ends it and starts the trial again in another."""


def environment(resources: Resources) -> dict[str, str]:
    """Environment of a worker: read once, when TensorFlow is imported.

    Ray sets OMP_NUM_THREADS, which TensorFlow ignores: without these a worker takes every core. A
    worker that was given no GPU would still see them all.
    """
    values = {
        _THREADS: str(resources.threads),
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        # A function that takes long to unwind makes reuse fail and the search hang.
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "120",
        MEMORY: os.environ.get(MEMORY, str(resources.memory_bytes)),
    }
    return values if resources.gpus_per_trial else {**values, "CUDA_VISIBLE_DEVICES": "-1"}


def run_trial(config: dict[str, Any]) -> None:
    """Train the trial in ``config["spec"]`` with ``config["threads"]``, and report each epoch, then
    how it ended, to Ray Tune.

    A failure is reported and not raised: Tune would replace the process, imports and all. With the
    last report, as with one at which a trial is stopped, Tune ends the function in its midst.

    Raises:
        ProcessTooLarge: before anything is trained; Tune starts the trial in another process.
    """
    global _shares
    # Of the first trial of a process alone: it is read when TensorFlow is imported. All others of
    # the process have as many threads, and as many shares of the machine.
    os.environ[_THREADS] = str(config["threads"])
    spec = TrialSpec(**config["spec"])
    _shares = spec.shares
    try:
        _train(_local(spec, config["shipping"]))
    except ProcessTooLarge:
        raise
    except Exception as error:
        _report_failure(error)


def _local(spec: TrialSpec, shipping: dict[str, str] | None) -> TrialSpec:
    """``spec`` with paths that this node has; on a cluster they may be others."""
    global _files
    if shipping is None:
        return spec
    from ray.exceptions import RayError

    from automl_img.search.shipping import Shipping, files_of

    try:
        _files = files_of(Shipping(**shipping))
        return _files.local(spec)
    except (RayError, TrialFailed):
        # Of the driver's node.
        raise
    except Exception as error:
        raise UnfitNode(first_line(error)) from error


@functools.cache
def _kept() -> tuple[GraphCache, Growth]:
    """What the process keeps from trial to trial; the first call imports Keras."""
    from automl_img.training.graphs import GraphCache

    # The collector need not look at what was imported, after each trial, for as long as it lives.
    gc.collect()
    gc.freeze()
    return GraphCache(), Growth(_shares * int(os.environ[MEMORY]))


def _train(spec: TrialSpec) -> None:
    graphs, growth = _kept()
    _leave_if_too_large(spec, graphs, growth)
    from automl_img.training import checkpoint
    from automl_img.training.footprint import memory_facts, takes_much
    from automl_img.training.trainer import Trainer

    # Not before the imports, which take as long as they take.
    WATCHDOG.begin(Path(spec.folder), spec.timeout)
    # Of what goes on it was asked in the first process.
    begun = (Path(spec.folder) / checkpoint.FILE).exists()
    serving = _serving(spec) if spec.measures else None
    if serving and not begun and (broken := Limits(**spec.limits).infeasible(serving)):
        _report(0, ended="infeasible", error=broken, serving=serving)
        return
    trainer = None
    epoch = 0
    try:
        trainer = Trainer(spec, graphs, others=_files.features if _files else None)
        if takes_much(spec, trainer.model):
            # Nothing can be told any more where the system ends the process.
            _report(0, memory=memory_facts(spec, trainer.model, trained=False))
        for result in trainer.epochs():
            epoch = result.epoch
            _report(epoch, result=dataclasses.asdict(result), serving=serving, **_facts(trainer))
    except Exception as error:
        memory = None if trainer is None else memory_facts(spec, trainer.model, trained=True)
        _report_failure(error, memory, begun=epoch > 0)
        return
    if spec.train_on_all:
        from automl_img.training.final import keep_final

        if trainer.stop_reason == "budget" and spec.instead:
            taken = trainer.take_best_of(Path(spec.instead))
            trainer.notice = _NO_TIME if taken else _LITTLE_TIME.format(epoch)
        keep_final(trainer)
        checkpoint.remove(trainer.folder)
    _report(epoch, ended=trainer.stop_reason, **_facts(trainer))


def _serving(spec: TrialSpec) -> dict[str, float]:
    """What the exported model of a trial will cost, which its network decides and no training."""
    from automl_img.export.measure import measure_serving
    from automl_img.training.inputs import TrialImages

    facts = TrialImages(spec).facts(spec)
    network = signature(spec.params, facts.flips, facts.channels)
    if network not in _measured:
        latency = "latency_ms" in spec.measures
        _measured[network] = measure_serving(spec.params, facts, spec.weights, latency).facts()
    return _measured[network]


def _leave_if_too_large(spec: TrialSpec, graphs: GraphCache, growth: Growth) -> None:
    """Make room for a trial; only here nothing holds the model of the one before any more.

    Raises:
        ProcessTooLarge: another process is to; once a trial, as Tune tries it only so often.
    """
    from automl_img.training.guards import release_memory

    release_memory()
    moved = Path(spec.folder) / _MOVED
    if growth.too_large(graphs.shrink) and not moved.exists():
        write_text(moved, "")
        _send()
        raise ProcessTooLarge


def _facts(trainer: Trainer) -> dict[str, Any]:
    """What is known of a trial so far; told with each epoch, as none may follow."""
    from automl_img.training.footprint import memory_facts
    from automl_img.training.peak import gpu_peak_bytes

    return {
        "memory": memory_facts(trainer.spec, trainer.model, trained=True),
        "threads": int(os.environ[_THREADS]),
        "precision": trainer.precision,
        "parameters": trainer.parameters,
        "ms_per_image": trainer.ms_per_image,
        "graphs_traced": trainer.graphs_traced,
        "gpu_peak_bytes": gpu_peak_bytes(),
        "notice": trainer.notice,
    }


def _report_failure(
    error: Exception, memory: dict[str, float] | None = None, begun: bool = False
) -> None:
    """Say how a trial has failed.

    Args:
        memory: see ``automl_img.trials.TrialRecord``.
        begun: whether it has trained an epoch.
    """
    trace = "".join(traceback.format_exception(error))
    if why := _why_unfit(error):
        from ray import get_runtime_context as context

        who = {"error": f"{why} (on {socket.gethostname()})", "node": context().get_node_id()}
        _report(0, ended=UnfitNode.reason, **who)
        return
    try:
        from automl_img.training.guards import as_trial_failure
    except Exception:
        # Keras itself cannot be imported.
        _report(0, ended="error", error=f"{type(error).__name__}: {error}", trace=trace)
        return
    failure = as_trial_failure(error)
    if isinstance(failure, OutOfTime):
        _report(0, ended=failure.reason)
        return
    if isinstance(failure, OutOfMemory):
        # The next trial should not find memory as short as this one did.
        graphs, _ = _kept()
        while graphs.shrink():
            pass
    if isinstance(failure, TooLarge):
        # What has trained its head alone is no trial that was never begun.
        reason = OutOfMemory.reason if begun else failure.reason
        _report(0, ended=reason, error=str(failure), memory=failure.memory, too_large=True)
        return
    unforeseen = trace if type(failure) is TrialFailed else None
    if isinstance(failure, Hung):
        unforeseen = failure.doing
    _report(0, ended=failure.reason, error=str(failure), trace=unforeseen, memory=memory)


def _why_unfit(error: Exception) -> str | None:
    """Why this node is not fit for trials, if that is what ``error`` tells."""
    from ray.exceptions import RayError

    if isinstance(error, UnfitNode):
        return str(error)
    # The driver writes nothing to the disks of a node that does not see the run folder.
    apart = _files is not None and not _files.sees_run and not isinstance(error, RayError)
    return first_line(error) if apart and disk_is_full(error) else None


def _report(epoch: int, **content: Any) -> None:
    """Send a report as one string: Tune flattens and renames what it finds in a dictionary.

    After one that says how the trial ended, Tune does not let the function go on.
    """
    from ray import tune

    done = "ended" in content
    with WATCHDOG.paused():
        _send(failed="error" in content)
        tune.report({"epoch": epoch, "message": json.dumps(content), "done": done})


def _send(failed: bool = False) -> None:
    """Bring what a trial has changed to the driver, before that hears of it: from then on any node
    can go on from there. Where the trial has ``failed``, perhaps that is why it cannot be done."""
    if _files is None:
        return
    try:
        _files.send()
    except Exception:
        if not failed:
            raise
