"""What would stop a search on this machine, or on the nodes of a cluster, before it begins."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from automl_img.search.cluster import Node, nodes_of, this_machine, troubles
from automl_img.search.hardware import describe_versions, free_bytes
from automl_img.search.out import open_out

# By the extra that brings it, the package that tells whether it is there.
_EXTRAS = {
    "cluster": "aiohttp_cors",
    "labels": "cleanlab",
    "postgres": "psycopg",
    "remote": "s3fs",
    "tfds": "tensorflow_datasets",
}
# Bytes: a worker holds 0.7 GB before it trains, and a run of small networks takes some 100 MB.
_LITTLE_MEMORY, _LITTLE_DISK = 1.5e9, 1e9


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        nodes: on which trials would run, by their names; this machine alone without a cluster.
        versions: of Python and packages, here.
        extras: whether each optional part is installed here.
        troubles: a sentence for each thing that would stop a search.
        warnings: a sentence for each that would make it slow, or use less than there is.
    """

    nodes: tuple[Node, ...]
    versions: dict[str, str]
    extras: dict[str, bool]
    troubles: tuple[str, ...]
    warnings: tuple[str, ...]


def diagnose(address: str, out: str | Path) -> Diagnosis:
    """Look at this machine, or at each node of the cluster at ``address``.

    Args:
        address: see ``automl_img.search.cluster.share_cluster``; "local" for this machine alone.
        out: the folder that runs would be written to, or its URL.

    Raises:
        SettingsError: there is no cluster at ``address``, or a node does not answer.
        RunError: the URL cannot be written.
    """
    place = open_out(out)
    place.check(None)
    nodes = [this_machine()] if address == "local" else nodes_of(address)
    able = [node for node in nodes if node.cores]
    found = [sentence for node in able for sentence in troubles(node)]
    if not able:
        found.append("no node has a CPU to give away; start one with ray start --address")
    if not free_bytes(place.folder):
        found.append(f"{out} cannot be written; give another folder with --out")
    warnings = [sentence for node in able for sentence in _warnings(node)]
    if 0 < free_bytes(place.folder) < _LITTLE_DISK:
        warnings.append(
            f"{out} has {free_bytes(place.folder) / 1e9:.1f} GB free; a run may need more"
        )
    if len({node.precision for node in able}) > 1:
        warnings.append(
            "some nodes multiply in bfloat16 and others do not, so all trials train in float32"
        )
    with_gpus = [node for node in able if node.gpus]
    if with_gpus and len(with_gpus) < len(able):
        warnings.append(
            f"{len(able) - len(with_gpus)} of {len(able)} nodes have no GPU and would run no "
            "trial; --gpus-per-trial 0 uses all CPUs and no GPU"
        )
    if len({name for node in with_gpus for name in node.gpu_names}) > 1:
        warnings.append(
            "the GPUs are of several kinds; a trial may take what the smallest of them has"
        )
    installed = {
        extra: importlib.util.find_spec(package) is not None for extra, package in _EXTRAS.items()
    }
    return Diagnosis(tuple(nodes), describe_versions(), installed, tuple(found), tuple(warnings))


def _warnings(node: Node) -> list[str]:
    found = []
    if node.memory_bytes < _LITTLE_MEMORY:
        free = f"{node.memory_bytes / 1e9:.1f} GB"
        found.append(f"{node.name} has {free} of memory free; a worker takes 0.7 GB by itself")
    if 0 < node.cache_bytes < _LITTLE_DISK:
        free = f"{node.cache_bytes / 1e9:.1f} GB"
        found.append(f"the cache of {node.name} ({node.cache}) has {free} free; images may not fit")
    if node.gpu_names and not node.gpus:
        found.append(
            f"{node.name} has a GPU that its Ray does not give away; start it with --num-gpus"
        )
    return found
