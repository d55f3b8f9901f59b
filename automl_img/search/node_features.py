"""Outputs of frozen backbones from another node of a cluster, where that is cheaper than computing.

Each node keeps them in a cache of its own. A node that has some tells the driver's node, and with
them what computing them took. Who needs them reads them from a node that has them, past the
driver's: each piece is a task there, so nothing is left running on a node.

**The rule**: a transfer is given up in favour of computing once the rest of it would take longer
than computing took, at the speed so far, or once nothing came for so long. The first piece is
small, so that a slow network is known soon. What took less than a second is not asked for.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from automl_img.data.cache import META, cache_root, check_space, read_meta
from automl_img.search.file_server import PIECE, FileServer

# In the cache of a node.
FEATURES = "features"
# Bytes of the first piece.
_FIRST = 2**20
# Seconds; a process for the first piece starts in about as long (1.0 s on a loaded machine).
_WORTH_ASKING = 1.0
_BETWEEN_LOOKS = 1.0
# Where one is gone, or has removed its features, another may have them.
_MOST_ASKED = 3


class NodeFeatures:
    """See ``automl_img.training.other_nodes.OtherNodes``."""

    def __init__(self, server: Any) -> None:
        """
        Args:
            server: the actor ``FileServer`` of the search.
        """
        self._server = server
        self._told: set[str] = set()

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        if name not in self._told:
            self._told.add(name)
            self._server.note.remote(self._node, {name: facts})

    def tell_all(self) -> None:
        """What earlier searches have left in the cache of this node."""
        root = cache_root() / FEATURES
        # What begins with a point is being written.
        whole = {path.parent.name: read_meta(path.parent) for path in root.glob(f"[!.]*/{META}")}
        facts = {name: meta for name, meta in whole.items() if meta is not None}
        for path in root.glob("[!.]*.json"):
            with suppress(OSError, ValueError):
                facts[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        if facts:
            self._told.update(facts)
            self._server.note.remote(self._node, facts)

    def facts(self, name: str) -> dict[str, Any] | None:
        return next(iter(self._notes(name).values()), None)

    def bring(self, name: str, target: Path, look: Callable[[], None]) -> dict[str, Any] | None:
        found = list(self._notes(name).items())
        # Another order for each who asks, so that not all come to one node.
        for node, meta in random.Random().sample(found, len(found))[:_MOST_ASKED]:
            if meta.get("seconds", 0.0) < _WORTH_ASKING:
                continue
            with suppress(RayError):
                return _brought(node, name, meta, target, look)
        return None

    @cached_property
    def _node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())

    def _notes(self, name: str) -> dict[str, dict[str, Any]]:
        """By other nodes."""
        try:
            notes: dict[str, dict[str, Any]] = ray.get(self._server.notes.remote(name))
        except RayError:
            return {}
        return {node: facts for node, facts in notes.items() if node != self._node}


def _brought(
    node: str, name: str, meta: dict[str, Any], target: Path, look: Callable[[], None]
) -> dict[str, Any] | None:
    """``OtherNodes.bring`` from one node.

    Raises:
        RayError: it is gone, or the features are.
    """
    computing, size = float(meta["seconds"]), int(meta["sizes"][target.name])
    check_space(target.parent, size)
    path = f"{name}/{target.name}"
    began = time.monotonic()
    # The process that reads there may have to be started, which says nothing of the network.
    if _answer(_asked(node, path, 0, 0), began + computing, look) is None:
        return None
    started = latest = time.monotonic()
    with target.open("wb") as stream:
        while (done := stream.tell()) < size:
            piece = _asked(node, path, done, PIECE if done else _FIRST)
            content = _answer(piece, (latest if done else began) + computing, look)
            # Without content it is shorter than it was: removed, and begun anew by somebody else.
            if not content:
                return None
            stream.write(content)
            latest, done = time.monotonic(), stream.tell()
            if (size - done) * (latest - started) / done > computing:
                return None
    return {**meta, "from": node, "transfer_seconds": time.monotonic() - began}


def _answer(asked: Any, until: float, look: Callable[[], None]) -> bytes | None:
    """None once it is later than ``until``."""
    while not ray.wait([asked], timeout=_BETWEEN_LOOKS)[0]:
        look()
        if time.monotonic() > until:
            return None
    look()
    content: bytes = ray.get(asked)
    return content


def _asked(node: str, path: str, start: int, size: int) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return _task().options(scheduling_strategy=there).remote(path, start, size)


@cache
def _task() -> Any:
    return ray.remote(num_cpus=0, max_retries=0)(read_features)


def read_features(path: str, start: int, size: int) -> bytes:
    """Runs on the node that has them.

    Args:
        path: below the features in the cache of that node.

    Raises:
        PermissionError: it leads elsewhere.
        OSError: it is not there.
    """
    root = cache_root() / FEATURES
    return FileServer(str(root), ()).read(str(root / path), start, size)
