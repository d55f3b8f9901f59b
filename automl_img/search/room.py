"""Whether there is room for trials: here, or on the nodes of a cluster, which come and go."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import ray
from ray import tune

from automl_img.events import Listener, Notice
from automl_img.search.resources import NodeSize, Resources

# Seconds for which the nodes of a cluster are taken to be the same.
_SAME_NODES = 5.0
# Seconds for which room is waited for, as a node that was lost may come back, before trials ask for
# less; and before the search ends, where no node is left.
PATIENCE, PATIENCE_WITHOUT = 60.0, 900.0


class Nodes:
    """What trials may have by now: of this machine always the same, of a cluster what those of its
    nodes give away that are fit for trials; they come and go."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._unfit: dict[str, str] = {}
        self._most: int | None = None
        self._looked, self._sizes = -math.inf, [NodeSize(0, 0, 0)]

    def room(self, threads: int) -> int:
        """How many trials of so many threads find room at a time."""
        return self._resources.room_on(self._now(), threads)

    def threads(self, alone: bool) -> int:
        """CPU threads that a trial can have; 0 where no node has room for any.

        Args:
            alone: whether it has a node for itself.
        """
        whole = alone and self._most is None
        wanted = self._resources.threads_alone if whole else self._resources.threads
        return min(wanted, self.most_threads(1))

    def most_threads(self, shares: int) -> int:
        """CPU threads of the largest node that has memory, and GPUs, for so many shares; or 0."""
        gpus, memory = self._resources.gpus_per_trial, self._resources.memory_bytes
        able = [each for each in self._now() if each.room(1, shares * gpus, shares * memory)]
        return max((node.cores for node in able), default=0)

    @property
    def most_shares(self) -> int:
        """How many shares a trial may have; see ``Resources``."""
        threads = self.threads(alone=False) or self._resources.threads
        most = self._resources.most_shares_on(self._now(), threads)
        return most if self._most is None else min(most, self._most)

    @property
    def are_shared(self) -> bool:
        """Whether others may run something there too."""
        return self._resources.address is not None

    def give_up(self, shares: int) -> None:
        """Count no more with so many shares for a trial, nor with a node for itself: somebody else
        has a part of each."""
        self._most = max(1, shares - 1)

    @property
    def alive(self) -> list[str]:
        """All nodes, by Ray's numbers of them; this machine alone is ""."""
        if self._resources.address is None:
            return [""]
        return [node["NodeID"] for node in ray.nodes() if node["Alive"]]

    @property
    def unfit(self) -> dict[str, str]:
        """Why nodes get no trials any more, by Ray's numbers of them; where one is mended and joins
        again it has another."""
        return dict(self._unfit)

    @property
    def none_is_fit(self) -> bool:
        """Whether no node with room for a trial is left but those that are not fit for any."""
        return bool(self._unfit) and not self.most_threads(1)

    def leave(self, node: str, why: str) -> None:
        """Count with a node no more, as it is not fit for trials."""
        self._unfit[node] = why
        self._looked = -math.inf

    def _now(self) -> list[NodeSize]:
        if self._resources.address is None:
            return [self._resources.machine]
        if time.monotonic() - self._looked > _SAME_NODES:
            fit = [n for n in ray.nodes() if n["Alive"] and n["NodeID"] not in self._unfit]
            keys, given = ("CPU", "GPU", "memory"), [node["Resources"] for node in fit]
            self._sizes = [NodeSize(*(int(each.get(key, 0)) for key in keys)) for each in given]
            self._looked = time.monotonic()
        return self._sizes


class Waits(tune.Callback):  # type: ignore[misc]
    """Ends Ray Tune where no node has what its trials ask for any more, so that the next one asks
    for less; Tune itself would wait for ever for a node as large as the one that was lost, or that
    others use.

    Attributes:
        in_vain: whether it has ended so.
    """

    def __init__(
        self,
        nodes: Nodes,
        alone: bool,
        threads: int,
        listener: Listener,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            alone: whether each trial has a machine for itself.
            threads: of a share, of which a trial asks for one or several; or of a whole machine.
            hurried: whether nothing is to be waited for.
        """
        super().__init__()
        self._nodes, self._alone, self._threads = nodes, alone, threads
        self._listener, self._hurried = listener, hurried
        self._since, self._told = math.inf, False
        self._shares: dict[str, int] = {}
        self._started: set[str] = set()
        self.in_vain = False

    @property
    def room(self) -> int:
        """For how many shares there is room, after a look at what the nodes have; none as long as
        one that asks for several has not found its own, which smaller ones would take from it."""
        self._look()
        if self._wanted > 1:
            return 0
        taken = sum(self._shares.values())
        most = 1 if self._alone else sys.maxsize
        return max(0, min(self._nodes.room(self._threads), most) - taken)

    @property
    def most_shares(self) -> int:
        """How many shares a trial may have by now."""
        return self._nodes.most_shares

    def threads(self, shares: int) -> int:
        """CPU threads of a trial with so many shares."""
        if not self._alone:
            return self._threads * shares
        return min(self._threads, self._nodes.most_threads(shares) or self._threads)

    def asked(self, trial_id: str, shares: int) -> None:
        """Take in that a trial asks for room."""
        self._shares[trial_id] = shares

    @property
    def without(self) -> list[str]:
        """Nodes that a trial must not come to, by Ray's numbers of them."""
        return sorted(self._nodes.unfit)

    def leave(self, node: str, why: str) -> None:
        """Give a node no trials any more, and say why."""
        if node not in self._nodes.unfit:
            self._listener(Notice(f"a node gets no trials of this search any more: {why}"))
        self._nodes.leave(node, why)

    def ended(self, trial_id: str) -> None:
        """Take in that a trial has none any more."""
        self._shares.pop(trial_id, None)
        self._started.discard(trial_id)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._started.add(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._started.discard(trial.trial_id)

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        self._look()
        if self.in_vain:
            # A trial that waits keeps Tune from ending.
            raise RuntimeError("no node has room for the next trial")

    @property
    def _wanted(self) -> int:
        """The most shares that one asks for which has not found them; 1 where none does."""
        found = self._started
        return max((each for trial, each in self._shares.items() if trial not in found), default=1)

    @property
    def _is_short(self) -> bool:
        """Whether no node is as large as the next trial wants it."""
        large_enough = self._nodes.threads(self._alone) >= self._threads
        return not large_enough or self._nodes.most_shares < self._wanted

    @property
    def _is_crowded(self) -> bool:
        """Whether a trial finds no room though nodes have it and no other one of ours has any."""
        waits = self._alone or self._wanted > 1
        return waits and self._nodes.are_shared and bool(self._shares) and not self._started

    def _look(self) -> None:
        now, left, short = time.monotonic(), self._nodes.threads(self._alone), self._is_short
        if not short and not self._is_crowded:
            self._since, self._told = math.inf, False
            return
        self._since = min(self._since, now)
        if short and not self._told:
            self._tell(left)
        self.in_vain = now - self._since > self._patience(short, left)
        if self.in_vain and not short:
            self._nodes.give_up(self._wanted)

    def _patience(self, short: bool, left: int) -> float:
        """Seconds for which room is waited for.

        Args:
            short: whether no node is large enough.
            left: CPU threads that a trial can have.
        """
        if short and self._hurried():
            return -1.0
        return PATIENCE if left or self._nodes.none_is_fit else PATIENCE_WITHOUT

    def _tell(self, left: int) -> None:
        self._told = True
        what = f"nodes of {left} CPUs at most" if left else "no node with room for a trial"
        if left >= self._threads:
            what = "no node that is large enough for one of its trials"
        self._listener(Notice(f"the cluster has {what} by now; a larger one is waited for"))

    def __getstate__(self) -> dict[str, Any]:
        return {}
