"""Where trials run: Ray Tune, as an executor that remembers nothing.

The study and ``trials.jsonl`` hold the search; a new Tuner on the same study goes on with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from automl_img.errors import SearchError, UnfitNode
from automl_img.events import Listener, Notice
from automl_img.files import disk_is_full
from automl_img.runs import RAY, Run, remove_folders
from automl_img.search.conductor import Conductor
from automl_img.search.kills import Kills
from automl_img.search.resources import Resources
from automl_img.search.room import Nodes, Waits
from automl_img.search.shipping import Shipping
from automl_img.search.worker import run_trial

# A trial is tried again so often where its worker died, or was sent away as its process had grown.
_MOST_FAILURES = 2
# The same on a cluster, where a node may be taken away, and the next one too.
_MOST_FAILURES_OF_NODES = 5
# How often another Tuner goes on where one has ended early.
_MOST_RESTARTS = 3
# What a worker runs; see ``automl_img.search.worker.run_trial``.
Trainable = Callable[[dict[str, Any]], None]


class _Searcher(Searcher):  # type: ignore[misc]
    """Lets Ray Tune ask the conductor.

    Attributes:
        failure: what went wrong as a trial ended; Tune hears of it as it asks for the next one.
    """

    def __init__(
        self,
        conductor: Conductor,
        alone: bool,
        waits: Waits,
        shipping: Shipping | None,
    ) -> None:
        """
        Args:
            alone: whether trials have a whole machine; what wants less than that, or more, is left.
            waits: says for how many trials there is room, and whether there will be any.
            shipping: how trials on other nodes come to their files.
        """
        super().__init__(metric="epoch", mode="max")
        self._conductor = conductor
        self._alone = alone
        self._waits = waits
        self._shipping = None if shipping is None else vars(shipping)
        self.failure: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        if self.failure is not None:
            raise self.failure
        if self._conductor.alone is not self._alone:
            return Searcher.FINISHED
        room = self._waits.room
        if self._waits.in_vain:
            return Searcher.FINISHED
        if not room:
            return None
        try:
            spec = self._conductor.next(trial_id, self._waits.most_shares)
        except SearchError as error:
            # Another Tuner would come to the same end.
            self.failure = error
            return Searcher.FINISHED
        if spec is None:
            # After None Tune asks again with each event; what is running gives some.
            return Searcher.FINISHED if self._conductor.over else None
        self._waits.asked(trial_id, spec.shares)
        threads = self._waits.threads(spec.shares)
        told = {"spec": vars(spec), "threads": threads, "shipping": self._shipping}
        return {**told, "without": self._waits.without}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._conductor.hear(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._waits.ended(trial_id)
        message = json.loads((result or {}).get("message", "{}"))
        if message.get("ended") == UnfitNode.reason:
            self._waits.leave(message["node"], message["error"])
        # The result at which a trial is stopped comes here and nowhere else.
        try:
            self._conductor.hear(trial_id, result or {})
            self._conductor.end(trial_id)
        except Exception as error:
            # Tune would take it for a failure of the trial, and try that again.
            self.failure = error

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a new Tuner is started on the study instead."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Lets Ray Tune hear from the conductor which trial to stop; starts them in order."""

    def __init__(self, conductor: Conductor, searcher: _Searcher, kills: Kills) -> None:
        super().__init__()
        self._conductor = conductor
        self._searcher = searcher
        self._kills = kills

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        self._kills.look()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        try:
            stops = self._conductor.stops(trial.trial_id, result)
        except SearchError as error:
            # What Tune makes of it is a text.
            self._searcher.failure = error
            raise
        return str(self.STOP if stops else self.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._conductor.lost(trial.trial_id, self._kills.explain())

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles schedulers into its snapshots; nothing of a search is restored from those.
        return {}


def run_trials(
    conductor: Conductor,
    run: Run,
    resources: Resources,
    listener: Listener,
    shipping: Shipping | None = None,
    hurried: Callable[[], bool] = lambda: False,
    trainable: Trainable = run_trial,
) -> None:
    """Run trials until the conductor has none left; their records are on disk when this returns.

    What wants the machine for itself comes last, in a process of its own. Where Ray Tune ends
    early, another Tuner goes on with the same trials, three times at the most.

    Args:
        hurried: whether no node is to be waited for any more.
        trainable: another one trains nothing, so that the driver alone is measured.

    Raises:
        SearchError: it ended early once more, no node has room for a trial, or the server of the
            study is away.
        Exception: a disk is full; see ``automl_img.files.disk_is_full``.
    """
    failures, nodes = 0, Nodes(resources)
    kills = Kills(nodes)
    while not conductor.over:
        alone = conductor.alone
        threads = nodes.threads(alone) or resources.threads
        waits = Waits(nodes, alone, threads, listener, hurried)
        error = _run(conductor, run, resources, waits, kills, alone, shipping, trainable)
        if error is None and (conductor.over or conductor.alone is not alone):
            continue
        conductor.take_back()
        if waits.in_vain and nodes.threads(alone):
            continue
        if waits.in_vain:
            raise SearchError(_no_room(nodes, run))
        failures += 1
        why = f"Ray Tune ended early ({error or 'without an error'})"
        if failures > _MOST_RESTARTS:
            raise SearchError(
                f"{why}, {failures} times; what was trained is kept, and automl-img resume "
                f"{run.known_as} goes on"
            )
        listener(Notice(f"{why}; it is started again"))


def _no_room(nodes: Nodes, run: Run) -> str:
    """The sentence for a cluster without room for any trial."""
    goes_on = f"what was trained is kept, and automl-img resume {run.known_as} goes on"
    if nodes.unfit:
        why = list(nodes.unfit.values())[-1]
        return f"no node of the cluster is fit for trials, the last one as {why}; {goes_on}"
    return f"the cluster has no node with room for a trial any more; {goes_on}"


def _run(
    conductor: Conductor,
    run: Run,
    resources: Resources,
    waits: Waits,
    kills: Kills,
    alone: bool,
    shipping: Shipping | None,
    trainable: Trainable,
) -> str | None:
    """Run trials until none is left that wants such a share of the machine.

    Returns:
        The error of Tune, where it ended with one.

    Raises:
        SearchError: another one would come to the same end.
        Exception: a disk is full; see ``automl_img.files.disk_is_full``.
    """
    storage = run.path / RAY
    searcher = _Searcher(conductor, alone, waits, shipping)
    asked = {"GPU": resources.gpus_per_trial}
    if shipping is not None:
        # So much Ray counts as given away on the node.
        asked["memory"] = resources.memory_bytes
    tuner = tune.Tuner(
        tune.with_resources(trainable, partial(_request, asked)),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=_Scheduler(conductor, searcher, kills),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=f"{time.time_ns()}",
            storage_path=str(storage),
            failure_config=tune.FailureConfig(
                max_failures=_MOST_FAILURES if shipping is None else _MOST_FAILURES_OF_NODES
            ),
            callbacks=[waits],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
        if searcher.failure is not None:
            raise searcher.failure
    except SearchError:
        raise
    except Exception as error:
        if isinstance(searcher.failure, SearchError):
            raise searcher.failure from None
        if disk_is_full(error):
            raise
        # Tune gives the traceback as its message; what happened is in the last line.
        return (str(error).strip().splitlines() or [type(error).__name__])[-1]
    finally:
        remove_folders([storage])
    return None


def _request(share: Mapping[str, float], config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """What a trial asks Ray for.

    Args:
        share: what a trial with one share asks for beside threads, by Ray's names.
        config: of the trial.
    """
    shares, without = config["spec"]["shares"], ",".join(config["without"])
    asked = {name: each * shares for name, each in share.items() if each}
    where = {"bundle_label_selector": [{"ray.io/node-id": f"!in({without})"}]} if without else {}
    return tune.PlacementGroupFactory([{"CPU": config["threads"], **asked}], **where)


def _folder_name(trial: Any) -> str:
    """Never by parameters: they hold what users typed, and names of classes."""
    return str(trial.trial_id)
