"""Whether the system has ended processes for want of memory, on this machine or on any node."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import ray

from automl_img.search.hardware import out_of_memory_kills
from automl_img.search.room import Nodes

# Seconds for which nodes are waited for; one that was lost does not answer.
_ANSWER = 2.0


class Kills:
    """How often the system did so on each node while trials ran there."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        # What each node has answered first, and how many of its kills have explained a death since.
        self._before: dict[str, Any] = {}
        self._explained: dict[str, int] = {}
        self.look()

    def look(self) -> None:
        """Ask nodes that are new how often it happened before; nobody waits for that."""
        for node in self._nodes.alive:
            if node not in self._before:
                self._before[node] = _asked(node)

    def explain(self) -> bool:
        """Whether one of them explains that a process has died; each explains one."""
        now = {node: _asked(node) for node in self._nodes.alive if node in self._before}
        remote = [count for count in now.values() if not isinstance(count, int)]
        if remote:
            ray.wait(remote, num_returns=len(remote), timeout=_ANSWER)
        for node, count in now.items():
            before, after = _answered(self._before[node]), _answered(count)
            if before is None or after is None:
                continue
            if after > before + self._explained.get(node, 0):
                self._explained[node] = self._explained.get(node, 0) + 1
                return True
        return False


def _asked(node: str) -> Any:
    """How often it has happened on a node so far, or what that will be; "" is this machine."""
    if not node:
        return out_of_memory_kills()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    ask = ray.remote(num_cpus=0, max_retries=0)(out_of_memory_kills)
    return ask.options(scheduling_strategy=there).remote()


def _answered(asked: Any) -> int | None:
    """The number; None where the node has not told it, and of one that is gone."""
    if isinstance(asked, int):
        return asked
    with suppress(ray.exceptions.RayError, ray.exceptions.GetTimeoutError):
        return int(ray.get(asked, timeout=0))
    return None
