"""A driver whose trials need the same features on one node after the other; run by a test."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.data.cache import META, built_once, cache_root
from automl_img.files import write_json
from automl_img.search import worker
from automl_img.search.cluster import connected
from automl_img.search.node_features import FEATURES
from automl_img.search.shipping import Shipping, files_of, serving
from automl_img.trials import TrialSpec

# Features of several pieces.
LARGE = "large"
_BYTES = 70 * 2**20
_FILE = "features.npy"
# Seconds, as if computing had taken so long.
LONG = 600.0


class Node:
    """A process on a node, as those that train trials."""

    def __init__(self, shipping: dict[str, str]) -> None:
        import automl_img.training.trainer  # noqa: F401

        self._shipping = shipping

    def trained(self, spec: dict[str, Any]) -> list[dict[str, Any]]:
        """What a trial has told."""
        said: list[dict[str, Any]] = []
        worker._report = lambda epoch, **content: said.append(content)
        worker.run_trial({"spec": spec, "threads": 1, "shipping": self._shipping})
        return said

    def add(self) -> None:
        """As if a trial had computed them."""

        def fill(folder: Path) -> dict[str, Any]:
            (folder / _FILE).write_bytes(np.random.default_rng(0).bytes(_BYTES))
            return {"seconds": LONG, "sizes": {_FILE: _BYTES}}

        self._others.tell(LARGE, built_once(cache_root() / FEATURES / LARGE, fill))

    def bring(self, name: str) -> bool:
        """Whether another node gave them."""
        folder = cache_root() / FEATURES / name
        folder.mkdir()
        meta = self._others.bring(name, folder / _FILE, lambda: None)
        write_json(folder / META, meta or {})
        return meta is not None

    def kept(self) -> dict[str, dict[str, Any]]:
        """The features in the cache: their meta, and a digest of the array."""
        found = {}
        for path in (cache_root() / FEATURES).glob(f"*/{_FILE}"):
            digest = hashlib.blake2b(path.read_bytes()).hexdigest()
            meta = json.loads((path.parent / META).read_text())
            found[path.parent.name] = {**meta, "digest": digest}
        return found

    @property
    def _others(self) -> Any:
        return files_of(Shipping(**self._shipping)).features


def main(address: str, file: str) -> None:
    """Print what the nodes have, as JSON, after the one apart has computed and the head fetched."""
    spec = TrialSpec(**json.loads(Path(file).read_text()))
    run, read = Path(spec.folder).parents[1], [spec.pixels, str(spec.weights)]
    variables = {
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        worker.MEMORY: f"{2**32}",
    }
    env = {"env_vars": variables}
    with connected(address, runtime_env=env) as ray, serving(run, read) as shipping:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        def on(node: str) -> Any:
            where = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(num_cpus=0)(Node).options(scheduling_strategy=where)
            return actor.remote(vars(shipping))

        head = ray.get_runtime_context().get_node_id()
        (other,) = (node["NodeID"] for node in ray.nodes() if node["NodeID"] != head)
        here, there, server = on(head), on(other), ray.get_actor(shipping.token)
        said = ray.get(there.trained.remote(asdict(spec)))
        computed = ray.get(there.kept.remote())
        for name in computed:
            told = ray.get(server.notes.remote(name))[other]
            ray.get(server.note.remote(other, {name: {**told, "seconds": LONG}}))
        again = ray.get(here.trained.remote(asdict(spec)))
        ray.get(there.add.remote())
        nowhere = {"seconds": LONG, "sizes": {_FILE: _BYTES}}
        ray.get(server.note.remote(other, {"removed": nowhere}))
        ray.get(server.note.remote("0" * 56, {"lost": nowhere}))
        began = time.monotonic()
        given = [ray.get(here.bring.remote(name)) for name in (LARGE, "removed", "lost")]
        seconds = time.monotonic() - began
        large = ray.get(there.kept.remote())[LARGE]
        fetched = ray.get(here.kept.remote())
    facts = {"said": [said, again], "computed": {**computed, LARGE: large}, "fetched": fetched}
    print(json.dumps({"other": other, "given": given, "seconds": seconds, **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
